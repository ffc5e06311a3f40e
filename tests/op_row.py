"""What a row of the op table holds, and how its samples become calls of the library.

A float64 array in a sample is an input that may need a gradient and takes the dtype under test;
arrays of other dtypes (indices, masks) are passed as they are; `Const` marks a float array that
follows the dtype but is no differentiable input (class weights). References take NumPy arrays
and know nothing of the library.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import tapegrad as tg
from support import DTYPES, FLOATS, dtype_of, map_nested, round_to

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Const:
    """A float array that takes the dtype under test, but no gradient."""

    array: np.ndarray


@dataclass
class Sample:
    """One call: positional and keyword arguments, with arrays where the op takes tensors."""

    id: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)


def S(id: str, *args: Any, **kwargs: Any) -> Sample:
    def array(x: Any) -> Any:  # NumPy turns 0-d results into scalars: here they stay arrays
        return np.asarray(x) if isinstance(x, np.generic) else x

    return Sample(id, map_nested(array, args), {k: array(v) for k, v in kwargs.items()})


class Gen:
    """Seeded sample values, away from the points where a derivative jumps."""

    def __init__(self, name: str) -> None:
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))

    def normal(self, *shape: int) -> np.ndarray:
        return np.asarray(self.rng.standard_normal(shape))

    def uniform(self, *shape: int, lo: float = -1.0, hi: float = 1.0) -> np.ndarray:
        return np.asarray(self.rng.uniform(lo, hi, shape))

    def positive(self, *shape: int) -> np.ndarray:
        return self.uniform(*shape, lo=0.4, hi=2.5)

    def nonzero(self, *shape: int) -> np.ndarray:
        """Absolute values in [0.4, 2.5], both signs."""
        return self.positive(*shape) * np.where(self.rng.random(shape) < 0.5, -1.0, 1.0)

    def distinct(self, *shape: int) -> np.ndarray:
        """No two values nearer than 0.1: order statistics are differentiable there."""
        n = int(np.prod(shape))
        values = self.rng.permutation(n) * 0.37 - 0.17 * n
        return np.asarray(values.reshape(shape))

    def within(self, *shape: int, segments: Sequence[tuple[float, float]]) -> np.ndarray:
        """Uniform over a union of intervals, each taken with equal chance."""
        pick = self.rng.integers(0, len(segments), shape)
        lo = np.array([s[0] for s in segments])[pick]
        hi = np.array([s[1] for s in segments])[pick]
        return np.asarray(lo + (hi - lo) * self.rng.random(shape))

    def ints(self, *shape: int, lo: int = 0, hi: int = 5) -> np.ndarray:
        return np.asarray(self.rng.integers(lo, hi, shape), dtype=np.int64)

    def bools(self, *shape: int) -> np.ndarray:
        return np.asarray(self.rng.random(shape) < 0.5)


@dataclass
class Op:
    """One row of the table."""

    name: str
    ref: Callable[..., Any]
    samples: Callable[[Gen], list[Sample]]
    fn: Callable[..., Any] | None = None
    result: str = "same"  # dtype rule: same, float (ints become float32), bool, sum, int64
    dtypes: tuple[str, ...] = DTYPES
    int_range: tuple[int, int] = (0, 5)
    inplace: bool = False
    out: bool = False
    method: bool = True
    grad: bool = True
    second: bool = True
    oracle: bool = True  # compare with PyTorch (not where its own derivative fails gradcheck)
    view: bool = False
    tol: float = 4.0  # allowed error, in units of the dtype's epsilon
    special: bool = False  # elementwise: NaN, infinities and signed zeros follow NumPy
    aliases: tuple[str, ...] = ()
    large: Callable[[Gen], Sample] | None = None  # input above the parallel grain
    dtype_sample: str = ""  # the sample that the dtype suite uses (default: the first)
    any_layout: bool = True  # accepts inputs of any strides

    @property
    def first(self) -> Sample:
        """The sample that stands for the op where one is enough."""
        samples = self.make_samples()
        return next((s for s in samples if s.id == self.dtype_sample), samples[0])

    def resolve(self) -> Callable[..., Any]:
        """The public function: given, or tg.NAME, or tg.nn.functional.NAME, or the method."""
        if self.fn is not None:
            return self.fn
        return find_function(tg, self.name)

    def make_samples(self) -> list[Sample]:
        return self.samples(Gen(self.name))


def find_function(library: Any, name: str) -> Callable[..., Any]:
    for space in ("special", "linalg"):
        if name.startswith(space + "_"):
            found = getattr(getattr(library, space), name.removeprefix(space + "_"), None)
            if found is not None:
                return found  # type: ignore[no-any-return]
    owners = [library, library.nn.functional, library.Tensor]
    if name.endswith("_loss") or name in ("binary_cross_entropy_with_logits", "kl_div"):
        owners = [library.nn.functional]  # PyTorch's own top-level ones are internal
    for owner in owners:
        found = getattr(owner, name, None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    raise AttributeError(f"no public function or method named {name!r}")


def is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == np.float64


def cast_array(a: np.ndarray, dtype: str, op: Op) -> np.ndarray:
    """The sample's values as `dtype` can hold them (ints: small ones within op.int_range)."""
    if dtype in FLOATS:
        return round_to(a, dtype)
    if dtype == "bool":
        return np.asarray(a > 0)
    lo, hi = op.int_range
    if dtype == "uint8":
        lo = max(lo, 0)
    return np.clip(np.rint(a * 2), lo, hi).astype(np.int64)


def cast_sample(s: Sample, dtype: str, op: Op) -> Sample:
    def cast(x: Any) -> Any:
        if isinstance(x, Const):
            return Const(cast_array(x.array, dtype, op))
        return cast_array(x, dtype, op) if is_float(x) else x

    kwargs = {k: map_nested(cast, v) for k, v in s.kwargs.items()}
    return Sample(s.id, map_nested(cast, s.args), kwargs)


def for_reference(s: Sample) -> tuple[tuple[Any, ...], dict[str, Any]]:
    def unwrap(x: Any) -> Any:
        return x.array if isinstance(x, Const) else x

    return map_nested(unwrap, s.args), {k: map_nested(unwrap, v) for k, v in s.kwargs.items()}


def for_library(
    s: Sample, dtype: str = "float64", grad: bool = False, library: Any = None
) -> tuple[tuple[Any, ...], dict[str, Any], list[Any]]:
    """Arguments with tensors in place of arrays, and the list of the differentiable ones."""
    lib = library or tg
    inputs: list[Any] = []

    def make(x: Any) -> Any:
        if isinstance(x, Const):
            return lib.tensor(x.array).to(getattr(lib, dtype))
        if is_float(x):
            t = lib.tensor(x).to(getattr(lib, dtype))
            if grad:
                t = t.requires_grad_()
            inputs.append(t)
            return t
        if isinstance(x, np.ndarray):
            return lib.tensor(x)
        return x

    args = map_nested(make, s.args)
    kwargs = {k: map_nested(make, v) for k, v in s.kwargs.items()}
    return args, kwargs, inputs


def for_library_int(s: Sample, dtype: str, op: Op) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """As for_library, with the float arrays of an uncast sample in an integer or bool dtype."""

    def make(x: Any) -> Any:
        if isinstance(x, Const):
            x = x.array
        if is_float(x):
            return tg.tensor(cast_array(x, dtype, op)).to(dtype_of(dtype))
        return tg.tensor(x) if isinstance(x, np.ndarray) else x

    return map_nested(make, s.args), {k: map_nested(make, v) for k, v in s.kwargs.items()}


def closure(op: Op, s: Sample, dtype: str = "float64") -> tuple[Callable[..., Any], list[Any]]:
    """f(*inputs) -> tuple of floating outputs, and the inputs as leaves that need a gradient."""
    _, _, inputs = for_library(s, dtype, grad=True)
    fn = op.resolve()

    def call(*tensors: Any) -> tuple[Any, ...]:
        args, kwargs = with_inputs(s, tensors, dtype)
        return floats(fn(*args, **kwargs))

    return call, inputs


def with_inputs(
    s: Sample, tensors: Sequence[Any], dtype: str = "float64"
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The sample's arguments with these tensors in the places of its float arrays."""
    queue = list(tensors)

    def make(x: Any) -> Any:
        if isinstance(x, Const):
            return tg.tensor(x.array).to(dtype_of(dtype))
        if is_float(x):
            return queue.pop(0)
        return tg.tensor(x) if isinstance(x, np.ndarray) else x

    args = map_nested(make, s.args)
    return args, {k: map_nested(make, v) for k, v in s.kwargs.items()}


def floats(result: Any) -> tuple[Any, ...]:
    """The floating-point tensors of a result, in order."""
    if isinstance(result, (tuple, list)):
        return tuple(t for item in result for t in floats(item))
    return (result,) if result.dtype.is_floating_point else ()
