"""Helpers of the test suite: conversions, comparisons and runs in a child process.

Nothing here knows an operation; the operations are in op_table.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = ("uint8", "int8", "int16", "int32", "int64")
DTYPES = ("bool", *INTS, *FLOATS)

# Unit roundoff of each format; tolerances are small multiples of it.
EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
MAX = {"float16": 65504.0, "bfloat16": 3.3895314e38, "float32": 3.4028235e38}


def dtype_of(name: str) -> Any:
    return getattr(tg, name)


def dtype_name(dtype: Any) -> str:
    return str(dtype).rsplit(".", maxsplit=1)[-1]


def is_tensor(x: Any) -> bool:
    return isinstance(x, tg.Tensor)


def to_numpy(t: Any) -> np.ndarray:
    """A copy as a NumPy array; bfloat16, which NumPy lacks, as float32."""
    t = t.detach()
    if dtype_name(t.dtype) == "bfloat16":
        t = t.float()
    return np.array(t.numpy(), copy=True)


def round_to(a: Any, dtype: str) -> np.ndarray:
    """The float64 values that an array takes when it is stored in `dtype`."""
    a = np.asarray(a, dtype=np.float64)
    if dtype != "bfloat16":
        with np.errstate(over="ignore"):
            return a.astype(dtype).astype(np.float64)
    bits = np.atleast_1d(a.astype(np.float32)).view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) << 16
    out = rounded.astype(np.uint32).view(np.float32).astype(np.float64)
    out[np.isnan(np.atleast_1d(a))] = np.nan
    return out.reshape(a.shape)


def flatten(x: Any) -> list[Any]:
    """The tensors and arrays of nested tuples and lists, in order."""
    if isinstance(x, (tuple, list)):
        return [leaf for item in x for leaf in flatten(item)]
    return [x]


def map_nested(f: Callable[[Any], Any], x: Any) -> Any:
    if isinstance(x, (tuple, list)):
        return type(x)(map_nested(f, item) for item in x)
    return f(x)


def assert_close(
    actual: Any, expected: Any, *, rtol: float = 1e-12, atol: float = 1e-12, msg: str = ""
) -> None:
    """Same shape, and every element equal within the tolerance (NaN equals NaN)."""
    got = to_numpy(actual) if is_tensor(actual) else np.asarray(actual)
    want = to_numpy(expected) if is_tensor(expected) else np.asarray(expected)
    assert got.shape == want.shape, f"{msg} shape {got.shape}, expected {want.shape}"
    if (
        got.dtype == bool
        or want.dtype == bool
        or (got.dtype.kind in "iu" and want.dtype.kind in "iu")
    ):
        np.testing.assert_array_equal(got, want, err_msg=msg)
    else:
        np.testing.assert_allclose(
            got.astype(np.float64), want.astype(np.float64), rtol=rtol, atol=atol, err_msg=msg
        )


def same_bits(a: Any, b: Any) -> bool:
    """Equal shape, dtype and bytes: stricter than ==, and NaN equals NaN."""
    if a.dtype != b.dtype or tuple(a.shape) != tuple(b.shape):
        return False
    x, y = to_numpy(a), to_numpy(b)
    return x.tobytes() == y.tobytes()


def tensor(values: Any, dtype: str = "float64", grad: bool = False) -> Any:
    return tg.tensor(values, dtype=dtype_of(dtype), requires_grad=grad)


def layouts(t: Any) -> dict[str, Any]:
    """The same values under other strides; each is a leaf without gradient."""
    t = t.detach()
    shape = list(t.shape)
    out = {"contiguous": t.clone().contiguous()}
    if t.dim() >= 2:
        dims = list(range(t.dim()))[::-1]
        out["transposed"] = t.permute(*dims).contiguous().permute(*dims)
    big = tg.zeros([2 * n + 1 for n in shape] or [3], dtype=t.dtype)
    window = tuple(slice(1, 2 * n + 1, 2) for n in shape) if shape else 1
    view = big[window]
    view.copy_(t)
    out["sliced"] = view
    if t.dim() >= 1:
        tail = tg.zeros([shape[0] + 2, *shape[1:]], dtype=t.dtype)[2:]
        tail.copy_(t)
        out["offset"] = tail
    return out


def run_python(
    code: str,
    *,
    timeout: float = 120.0,
    stack_kb: int | None = None,
    env: dict[str, str] | None = None,
    args: Iterable[str] = (),
) -> str:
    """Run code in a fresh interpreter; a hang or a crash there fails the test, not the suite."""
    command = [sys.executable, "-c", textwrap.dedent(code), *args]
    if stack_kb is not None:
        command = ["bash", "-c", f'ulimit -s {stack_kb}; exec "$@"', "bash", *command]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        check=False,
    )
    assert done.returncode == 0, (
        f"exit status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    )
    return done.stdout


def run_in_threads(*bodies: Callable[[], Any], stack: int = 0, timeout: float = 120.0) -> list[Any]:
    """Run each body in its own thread and give back the results; re-raise what one raised."""
    results: list[Any] = [None] * len(bodies)
    errors: list[BaseException] = []

    def call(i: int, body: Callable[[], Any]) -> None:
        try:
            results[i] = body()
        except BaseException as error:
            errors.append(error)

    old = threading.stack_size(stack)
    try:
        threads = [
            threading.Thread(target=call, args=(i, b), daemon=True) for i, b in enumerate(bodies)
        ]
        for t in threads:
            t.start()
    finally:
        threading.stack_size(old)
    for t in threads:
        t.join(timeout)
        assert not t.is_alive(), f"a thread did not end within {timeout} s"
    if errors:
        raise errors[0]
    return results
