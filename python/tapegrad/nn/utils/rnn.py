"""Sequences of different lengths: padded to one tensor, or packed step by step."""

from __future__ import annotations

from collections import namedtuple

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from typing_extensions import Self

    from tapegrad._C import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]

_Fields = namedtuple("_Fields", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])


class PackedSequence(_Fields):
    """Sequences in order of decreasing length, all first steps before all second ones.

    ``data`` has a row for each step of each sequence, ``batch_sizes`` (int64) says how many
    sequences have a first, second, ... step, ``sorted_indices`` is the order in which the sequences
    were taken (None: as they stood) and ``unsorted_indices`` its inverse. Made by
    :func:`pack_padded_sequence` and :func:`pack_sequence`; ``RNN``, ``LSTM`` and ``GRU`` take and
    return it.

    >>> import tapegrad as tg
    >>> tg.nn.utils.rnn.pack_sequence([tg.tensor([1, 2]), tg.tensor([3])]).data
    tensor([1, 3, 2])
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        if batch_sizes is None:
            if not isinstance(data, (list, tuple)) or len(data) != 2:
                raise TypeError(
                    "PackedSequence: expected data and batch_sizes, as two arguments or as a pair"
                )
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with(self, data: Tensor) -> Self:
        if data is self.data:
            return self
        return type(self)(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """The same with ``data.to(...)``."""
        return self._with(self.data.to(*args, **kwargs))

    def cpu(self, *args: Any, **kwargs: Any) -> Self:
        """The packed sequence itself."""
        return self.to("cpu")

    def double(self) -> Self:
        """The same in float64."""
        return self.to(_C.float64)

    def float(self) -> Self:
        """The same in float32."""
        return self.to(_C.float32)

    def half(self) -> Self:
        """The same in float16."""
        return self.to(_C.float16)

    def long(self) -> Self:
        """The same in int64."""
        return self.to(_C.int64)

    def int(self) -> Self:
        """The same in int32."""
        return self.to(_C.int32)

    def short(self) -> Self:
        """The same in int16."""
        return self.to(_C.int16)

    def char(self) -> Self:
        """The same in int8."""
        return self.to(_C.int8)

    def byte(self) -> Self:
        """The same in uint8."""
        return self.to(_C.uint8)

    def pin_memory(self) -> Self:
        """The packed sequence itself: there is no device to copy to."""
        return self

    def is_pinned(self) -> bool:
        """False."""
        return False

    @property
    def is_cuda(self) -> bool:
        """False."""
        return False


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes ``permutation``, a 1-d int64 tensor; None of None.

    >>> import tapegrad as tg
    >>> tg.nn.utils.rnn.invert_permutation(tg.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    order = _C.arange(permutation.numel())
    return _C.empty_like(permutation).scatter_(0, permutation, order.to(permutation.dtype))


def _lengths(name: str, lengths: Any, batch: int) -> Tensor:
    if not isinstance(lengths, _C.Tensor):
        lengths = _C.tensor([int(length) for length in lengths], dtype=_C.int64)
    result: Tensor = lengths.detach().to(_C.int64)
    if result.dim() != 1 or result.numel() != batch:
        raise _C.ShapeError(
            f"{name}: Expected `len(lengths)` to be equal to batch_size, but got "
            f"{result.numel()} (batch_size={batch})"
        )
    if batch and int(result.amin()) <= 0:
        raise _C.ShapeError(
            f"{name}: Length of all samples has to be greater than 0, but found an element in "
            "'lengths' that is <= 0"
        )
    return result


def _rows(lengths: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Places of the steps of sorted sequences in a tensor (steps, batch), and the batch sizes."""
    valid = _C.arange(steps).unsqueeze(1) < lengths.unsqueeze(0)
    return valid.flatten().nonzero().flatten(), valid.sum(1)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack a padded tensor (T, B, *), with ``batch_first`` (B, T, *).

    Arguments: ``lengths``, a list or tensor of B lengths; ``enforce_sorted=True`` demands that they
    do not grow, False sorts the sequences. Differentiable in ``input``. Errors: ``RuntimeError``
    for lengths that are not sorted, not above 0, too long, or not one a sequence.

    >>> import tapegrad as tg
    >>> padded = tg.tensor([[1, 2], [3, 0]])
    >>> tg.nn.utils.rnn.pack_padded_sequence(padded, [2, 1], batch_first=True).data
    tensor([1, 3, 2])
    """
    name = "pack_padded_sequence"
    if input.dim() < 2:
        raise _C.ShapeError(f"{name}: expected at least 2 dimensions, got {input.dim()}")
    if batch_first:
        input = input.transpose(0, 1)
    steps, batch = input.shape[:2]
    sizes = _lengths(name, lengths, batch)
    if batch == 0:
        raise _C.ShapeError(f"{name}: cannot pack empty tensors")
    order = None
    if enforce_sorted:
        if batch > 1 and bool((sizes[1:] > sizes[:-1]).any()):
            raise RuntimeError(
                "`lengths` array must be sorted in decreasing order when `enforce_sorted` is "
                "True. You can pass `enforce_sorted=False` to pack_padded_sequence and/or "
                "pack_sequence to sidestep this requirement."
            )
    else:
        sizes, order = sizes.sort(stable=True, descending=True)
        input = input.index_select(1, order)
    longest = int(sizes[0])
    if longest > steps:
        raise _C.ShapeError(
            f"{name}: a length of {longest} exceeds the {steps} steps of an input of shape "
            f"{list(input.shape)}"
        )
    places, batch_sizes = _rows(sizes, longest)
    data = input.reshape(steps * batch, *input.shape[2:]).index_select(0, places)
    return PackedSequence(data, batch_sizes, order, None)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Undo packing: the padded tensor (T, B, *), with ``batch_first`` (B, T, *), and the lengths.

    Arguments: ``padding_value=0.0`` fills up; ``total_length`` asks for a T of at least the longest
    sequence. Differentiable. Errors: ``ValueError`` for a shorter ``total_length``.

    >>> import tapegrad as tg
    >>> packed = tg.nn.utils.rnn.pack_sequence([tg.tensor([1, 2]), tg.tensor([3])])
    >>> padded, lengths = tg.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    >>> padded.tolist(), lengths.tolist()
    ([[1, 2], [3, 0]], [2, 1])
    """
    data, batch_sizes, _, unsorted = sequence
    steps, batch = batch_sizes.numel(), int(batch_sizes[0])
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in "
                f"input, but got total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    lengths = (batch_sizes.unsqueeze(1) > _C.arange(batch).unsqueeze(0)).sum(0)
    places, _ = _rows(lengths, steps)
    rest = data.shape[1:]
    empty = _C.full((steps * batch, *rest), padding_value, dtype=data.dtype)
    padded = _C.index_put(empty, (places,), data).reshape(steps, batch, *rest)
    if unsorted is not None:
        padded, lengths = padded.index_select(1, unsorted), lengths[unsorted]
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def pad_sequence(
    sequences: Tensor | Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (L_i, *) as one tensor (T, B, *), with ``batch_first`` (B, T, *).

    Arguments: ``padding_value=0.0`` fills up shorter ones, on ``padding_side`` ``'right'`` or
    ``'left'``. Differentiable. Errors: ``RuntimeError`` for no sequence or different trailing
    dimensions, ``ValueError`` for another side.

    >>> import tapegrad as tg
    >>> sequences = [tg.tensor([1, 2]), tg.tensor([3])]
    >>> tg.nn.utils.rnn.pad_sequence(sequences, batch_first=True).tolist()
    [[1, 2], [3, 0]]
    """
    if padding_side not in ("left", "right"):
        raise ValueError(f"pad_sequence: padding_side is 'left' or 'right', got {padding_side!r}")
    parts = list(sequences)
    if not parts:
        raise _C.ShapeError("pad_sequence: received an empty list of sequences")
    rest = parts[0].shape[1:]
    if any(part.dim() == 0 or part.shape[1:] != rest for part in parts):
        shapes = ", ".join(str(list(part.shape)) for part in parts)
        raise _C.ShapeError(
            f"pad_sequence: sequences may differ in their first dimension only, got {shapes}"
        )
    longest = max(part.size(0) for part in parts)
    padded = []
    for part in parts:
        missing = longest - part.size(0)
        if missing:
            filling = _C.full((missing, *rest), padding_value, dtype=part.dtype)
            part = _C.cat([part, filling] if padding_side == "right" else [filling, part])
        padded.append(part)
    return _C.stack(padded, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences of a padded tensor (T, B, *), with ``batch_first`` (B, T, *), as a list.

    ``lengths`` holds B lengths. Differentiable. Errors: ``RuntimeError`` for another number.

    >>> import tapegrad as tg
    >>> tg.nn.utils.rnn.unpad_sequence(tg.tensor([[1, 3], [2, 0]]), tg.tensor([2, 1]))
    [tensor([1, 2]), tensor([3])]
    """
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    sizes = [int(length) for length in lengths]
    if len(sizes) != padded_sequences.size(0):
        raise _C.ShapeError(
            f"unpad_sequence: expected {padded_sequences.size(0)} lengths, got {len(sizes)}"
        )
    return [padded_sequences[i, :size] for i, size in enumerate(sizes)]


def pack_sequence(sequences: Iterable[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences (L_i, *); see :func:`pack_padded_sequence`.

    >>> import tapegrad as tg
    >>> packed = tg.nn.utils.rnn.pack_sequence([tg.tensor([1, 2]), tg.tensor([3])])
    >>> packed.batch_sizes
    tensor([2, 1])
    """
    parts = list(sequences)
    lengths = [part.size(0) for part in parts]
    return pack_padded_sequence(pad_sequence(parts), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed one, as a list in their first order.

    >>> import tapegrad as tg
    >>> packed = tg.nn.utils.rnn.pack_sequence([tg.tensor([1, 2]), tg.tensor([3])])
    >>> tg.nn.utils.rnn.unpack_sequence(packed)
    [tensor([1, 2]), tensor([3])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
