"""Turning a list of samples into one batch."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["default_collate", "default_convert"]


class UnequalSamplesError(_C.ShapeError):
    """Samples that cannot be stacked; ``entries`` are the places of two that differ."""

    def __init__(self, message: str, entries: tuple[int, int]) -> None:
        super().__init__(message, entries)
        self.message = message
        self.entries = entries

    def __str__(self) -> str:
        return self.message


def _is_array(value: Any) -> bool:
    # An array can only exist when NumPy has been loaded by somebody.
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic))


def _rebuilt(example: Any, entries: dict[Any, Any]) -> Any:
    """A mapping of the type of ``example``; a plain dict where that type cannot be filled."""
    if type(example) is dict:
        return entries
    try:
        return type(example)(entries)
    except TypeError:
        return entries


def default_convert(data: Any) -> Any:
    """NumPy arrays in a sample become tensors; everything else stays as it is.

    >>> import numpy as np, tapegrad as tg
    >>> tg.utils.data.default_convert({"x": np.zeros(2, np.float32), "name": "a"})
    {'x': tensor([0., 0.]), 'name': 'a'}
    """
    if isinstance(data, _C.Tensor):
        return data
    if _is_array(data):
        return data if data.dtype.kind in "SUO" else _C.as_tensor(data)
    if isinstance(data, Mapping):
        return _rebuilt(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, list):
        return [default_convert(item) for item in data]
    return data


def _stacked(batch: Sequence[Any]) -> Any:
    shape = batch[0].shape
    for i, item in enumerate(batch):
        if item.shape != shape:
            raise UnequalSamplesError(
                f"default_collate: stack expects each tensor to be equal size, but got "
                f"{list(shape)} at entry 0 and {list(item.shape)} at entry {i}; pad the samples, "
                "or pass collate_fn= to the loader",
                (0, i),
            )
    return _C.stack(batch)


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples: tensors and arrays by a new first dimension, numbers into a tensor.

    Dicts, tuples, named tuples and lists are collated entry by entry, strings are left as they are.

    Errors: tensors that differ in shape (``ShapeError``, which names the first such entry), samples
    that differ in structure or length (``RuntimeError``), or of a type that cannot be batched
    (``TypeError``).

    >>> import tapegrad as tg
    >>> tg.utils.data.default_collate([(tg.ones(2), 1), (tg.zeros(2), 2)])
    [tensor([[1., 1.],
            [0., 0.]]), tensor([1, 2])]
    """
    if not batch:
        raise ValueError("default_collate: got no samples")
    first = batch[0]
    if isinstance(first, _C.Tensor):
        return _stacked(batch)
    if _is_array(first):
        if first.dtype.kind in "SUO":
            raise TypeError(
                f"default_collate: arrays of dtype {first.dtype} cannot become tensors; "
                "pass collate_fn= to the loader"
            )
        return _stacked([_C.as_tensor(item) for item in batch])
    if isinstance(first, float):
        return _C.tensor(batch, dtype=_C.float64)
    if isinstance(first, int):
        return _C.tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _rebuilt(
            first, {key: default_collate([item[key] for item in batch]) for key in first}
        )
    if isinstance(first, (list, tuple)):
        for i, item in enumerate(batch):
            if len(item) != len(first):
                raise UnequalSamplesError(
                    "each element in list of batch should be of equal size, but entry 0 has "
                    f"{len(first)} items and entry {i} has {len(item)}",
                    (0, i),
                )
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {type(first)}; pass collate_fn= to the loader"
    )
