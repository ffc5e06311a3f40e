"""Turning a list of samples into one batch."""

from __future__ import annotations

import sys

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["default_collate", "default_convert"]


def _is_array(value: Any) -> bool:
    # An array can only exist when NumPy has been loaded by somebody.
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic))


def default_convert(data: Any) -> Any:
    """NumPy arrays in a sample become tensors; everything else stays as it is."""
    if isinstance(data, _C.Tensor):
        return data
    if _is_array(data):
        return data if data.dtype.kind in "SUO" else _C.as_tensor(data)
    if isinstance(data, dict):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, (list, tuple)):
        return type(data)(map(default_convert, data))
    return data


def default_collate(batch: list[Any]) -> Any:
    """Stack samples: tensors and arrays by a new first dimension, numbers into a tensor.

    Dicts, tuples, named tuples and lists are collated entry by entry, strings are left in a list.

    Errors: samples that differ in structure or length (``RuntimeError``), or of a type that cannot
    be batched (``TypeError``).

    >>> import tapegrad as tg
    >>> tg.utils.data.default_collate([(tg.ones(2), 1), (tg.zeros(2), 2)])
    [tensor([[1., 1.],
            [0., 0.]]), tensor([1, 2])]
    """
    if not batch:
        raise ValueError("default_collate: got no samples")
    first = batch[0]
    if isinstance(first, _C.Tensor):
        return _C.stack(batch)
    if _is_array(first):
        if first.dtype.kind in "SUO":
            raise TypeError(
                f"default_collate: arrays of dtype {first.dtype} cannot become tensors; "
                "pass collate_fn= to the loader"
            )
        return _C.stack([_C.as_tensor(item) for item in batch])
    if isinstance(first, float):
        return _C.tensor(batch, dtype=_C.float64)
    if isinstance(first, int):
        return _C.tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, dict):
        return {key: default_collate([item[key] for item in batch]) for key in first}
    if isinstance(first, (list, tuple)):
        if any(len(item) != len(first) for item in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(list(column)) for column in zip(*batch, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {type(first)}; pass collate_fn= to the loader"
    )
