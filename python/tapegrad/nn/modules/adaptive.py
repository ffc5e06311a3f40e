"""The adaptive softmax, for many classes of which few are frequent."""

from __future__ import annotations

from collections import namedtuple
from itertools import pairwise

from tapegrad import _C
from tapegrad.nn.functional import log_softmax
from tapegrad.nn.modules.container import ModuleList, Sequential
from tapegrad.nn.modules.linear import Linear
from tapegrad.nn.modules.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapegrad._C import Tensor

__all__ = ["AdaptiveLogSoftmaxWithLoss"]

_ASMoutput = namedtuple("_ASMoutput", ["output", "loss"])


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities by a softmax that spends less on rare classes (Grave et al., 2017).

    Classes are numbered by falling frequency. Those below ``cutoffs[0]`` stand in the head; those
    between two cutoffs share one place in it and are told apart by a smaller network, with
    ``in_features / div_value**i`` hidden features for the i-th.

    Parameters
    ----------
    in_features, n_classes : int
    cutoffs : sequence of int
        increasing, greater than 0 and below ``n_classes``
    div_value : float, default 4.0
    head_bias : bool, default False
        whether the head has a bias

    Inputs are (N, in_features) and targets (N,), or (in_features,) and (). The result is the pair
    ``output``, the log-probability of each target, and ``loss``, minus their mean.

    Errors: ``ValueError`` for cutoffs that are not as above; ``IndexError`` for a target that is no
    class.

    >>> import tapegrad as tg
    >>> layer = tg.nn.AdaptiveLogSoftmaxWithLoss(16, 20, cutoffs=[5, 10])
    >>> output, loss = layer(tg.zeros(2, 16), tg.tensor([3, 12]))
    >>> [f"{p:.4f}" for p in output.exp().tolist()]
    ['0.1429', '0.0143']
    >>> layer.log_prob(tg.zeros(1, 16)).exp().sum().item() > 0.9999
    True
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        limits = [int(cutoff) for cutoff in cutoffs]
        if not limits:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if any(a >= b for a, b in pairwise([0, *limits, n_classes])) or limits != list(cutoffs):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing "
                f"order, where each value is between 1 and n_classes-1, got {list(cutoffs)} for "
                f"{n_classes} classes"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*limits, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device, dtype)
        self.tail = ModuleList()
        for i, (first, last) in enumerate(pairwise(self.cutoffs)):
            hidden = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, False, device, dtype),
                    Linear(hidden, last - first, False, device, dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.head.reset_parameters()
        for cluster in self.tail:
            for layer in cluster.children():
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        if target_.dim() > 1 or input_.dim() != target_.dim() + 1:
            raise _C.ShapeError(
                "AdaptiveLogSoftmaxWithLoss: expected input (N, in_features) and target (N,), or "
                f"(in_features,) and (), got {tuple(input_.shape)} and {tuple(target_.shape)}"
            )
        single = target_.dim() == 0
        x = input_.unsqueeze(0) if single else input_
        target = target_.unsqueeze(0) if single else target_
        if x.shape[0] != target.shape[0]:
            raise _C.ShapeError(
                "AdaptiveLogSoftmaxWithLoss: input and target should have the same size in the "
                f"batch dimension, got {tuple(x.shape)} and {tuple(target.shape)}"
            )
        self._check_classes(target)
        output = self._log_prob_of(x, target)
        return _ASMoutput(output.squeeze(0) if single else output, (-output).mean())

    def _log_prob_of(self, x: Tensor, target: Tensor) -> Tensor:
        places = target
        found = []
        for i, (first, last) in enumerate(pairwise(self.cutoffs)):
            rows = ((target >= first) & (target < last)).nonzero().squeeze(1)
            if rows.numel() == 0:
                continue
            places = places.index_fill(0, rows, self.shortlist_size + i)
            logs = log_softmax(self.tail[i](x.index_select(0, rows)), dim=1)
            inner = target.index_select(0, rows) - first
            found.append((rows, logs.gather(1, inner.unsqueeze(1)).squeeze(1)))
        head = log_softmax(self.head(x), dim=1)
        output = head.gather(1, places.unsqueeze(1)).squeeze(1)
        for rows, logs in found:
            output = output.index_add(0, rows, logs)
        return output

    def _check_classes(self, target: Tensor) -> None:
        if target.numel() == 0:
            return
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= self.n_classes:
            raise _C.RangeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{low}, {high}] were found."
            )

    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities of all classes: (N, in_features) to (N, n_classes)."""
        head = log_softmax(self.head(input), dim=1)
        parts = [head[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            place = self.shortlist_size + i
            parts.append(log_softmax(tail(input), dim=1) + head[:, place : place + 1])
        return _C.cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The most likely class of each row, without the tails where the head decides."""
        output: Tensor = self.head(input).argmax(1)
        rest = (output >= self.shortlist_size).nonzero().squeeze(1)
        if rest.numel() == 0:
            return output
        best = self.log_prob(input.index_select(0, rest)).argmax(1)
        return output.index_copy(0, rest, best)
