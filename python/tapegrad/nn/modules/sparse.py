"""Tables of vectors, looked up by number: ``Embedding`` and ``EmbeddingBag``."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.autograd.grad_mode import no_grad
from tapegrad.nn import functional, init
from tapegrad.nn.modules.module import Module
from tapegrad.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self

    from tapegrad._C import Tensor

__all__ = ["Embedding", "EmbeddingBag"]

_embedding = _C._nn.embedding


class _Table(Module):
    """The weight of both modules: (num_embeddings, embedding_dim), drawn from N(0, 1)."""

    weight: Parameter
    padding_idx: int | None

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError(
                    f"{self._get_name()}: padding_idx must be within num_embeddings = "
                    f"{num_embeddings}, got {padding_idx}"
                )
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx

    def _make_weight(
        self, given: Tensor | None, freeze: bool, device: Any, dtype: _C.dtype | None
    ) -> None:
        shape = (self.num_embeddings, self.embedding_dim)
        if given is None:
            self.weight = Parameter(_C.empty(shape, device=device, dtype=dtype), not freeze)
            self.reset_parameters()
            return
        if tuple(given.shape) != shape:
            raise AssertionError(
                f"{self._get_name()}: the weight must have shape {shape}, got {tuple(given.shape)}"
            )
        self.weight = Parameter(given, not freeze)

    def reset_parameters(self) -> None:
        """Draw the vectors anew; the one of ``padding_idx`` is zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].fill_(0)


def _expect_table(name: str, embeddings: Tensor) -> tuple[int, int]:
    if embeddings.dim() != 2:
        raise AssertionError(
            f"{name}.from_pretrained: expected a 2-dimensional tensor, got shape "
            f"{tuple(embeddings.shape)}"
        )
    return embeddings.shape[0], embeddings.shape[1]


class Embedding(_Table):
    """A table of ``num_embeddings`` trained vectors: indices (*) to vectors (*, embedding_dim).

    ``weight`` is drawn from N(0, 1). The vector of ``padding_idx`` starts as zero and gets no
    gradient. Vectors longer than ``max_norm`` in the ``norm_type``-norm are shortened in place when
    looked up. ``scale_grad_by_freq`` divides gradients by how often a vector was looked up.
    ``sparse=True`` is a ``NotImplementedError`` when called: gradients are dense here.

    Errors: ``IndexError`` for an index outside of the table.

    >>> import tapegrad as tg
    >>> tg.nn.Embedding(10, 3)(tg.tensor([[1, 2, 4, 5], [4, 3, 2, 9]])).shape
    tapegrad.Size([2, 4, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        self._make_weight(_weight, _freeze, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return _embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        return text + (", sparse=True" if self.sparse else "")

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A module with the table ``embeddings``, not trained unless ``freeze=False``."""
        rows, columns = _expect_table(cls.__name__, embeddings)
        return cls(
            rows,
            columns,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            sparse,
            _weight=embeddings,
            _freeze=freeze,
        )


class EmbeddingBag(_Table):
    """The sum, mean or maximum of each bag of vectors of a table.

    A 2-d input (bags, size) has bags of one size. A 1-d input is cut at ``offsets``, the start of
    each bag (with ``include_last_offset`` also the end of the last). ``per_sample_weights``, of the
    input's shape, scale the vectors in mode "sum". An empty bag gives zeros; entries equal to
    ``padding_idx`` do not count. See :class:`Embedding` for the other arguments.

    >>> import tapegrad as tg
    >>> bag = tg.nn.EmbeddingBag(10, 3, mode="sum")
    >>> bag(tg.tensor([1, 2, 4, 5, 4, 3]), tg.tensor([0, 4])).shape
    tapegrad.Size([2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset
        self._make_weight(_weight, False, device, dtype)

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        return functional.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        text += f", mode={self.mode!r}"
        return text + ("" if self.padding_idx is None else f", padding_idx={self.padding_idx}")

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """A module with the table ``embeddings``, not trained unless ``freeze=False``."""
        rows, columns = _expect_table(cls.__name__, embeddings)
        module = cls(
            rows,
            columns,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            mode,
            sparse,
            embeddings,
            include_last_offset,
            padding_idx,
        )
        module.weight.requires_grad_(not freeze)
        return module
