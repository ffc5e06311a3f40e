"""Lion."""

from __future__ import annotations

from tapegrad.optim._fused import FusedOptimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim.optimizer import Params

__all__ = ["Lion"]


class Lion(FusedOptimizer):
    """Lion: steps of one size, in the direction of the sign of a mean of gradients.

    With m a running mean of gradients, a parameter loses
    ``lr * (sign(betas[0] * m + (1 - betas[0]) * g) + weight_decay * p)``; then m becomes
    ``betas[1] * m + (1 - betas[1]) * g``. One state instead of Adam's two; rates are 3 to 10 times
    smaller than Adam's, and ``weight_decay`` larger by as much. ``maximize`` ascends.

    Chen et al., https://arxiv.org/abs/2302.06675.

    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = tg.optim.Lion([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5000], requires_grad=True)
    """

    _rule_name = "lion"
    _shaped = frozenset({"exp_avg"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        self._check_lr(group)
        self._check_betas(group)
        self._check_nonnegative(group, weight_decay="weight_decay value")

    def _decays_apart(self, group: dict[str, Any]) -> bool:
        return True

    def _options(self, group: dict[str, Any]) -> tuple[float, ...]:
        return (group["lr"], *group["betas"])
