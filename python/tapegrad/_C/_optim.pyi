# Made by tools/generate_stubs.py; do not edit.
from collections.abc import Sequence

from tapegrad._C import Tensor

def sgd_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor | None] | None,
    momentum_buffers: Sequence[Tensor] | None,
    first: Sequence[bool] | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
) -> None: ...
def adam_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor | None] | None,
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    max_exp_avg_sqs: Sequence[Tensor] | None,
    steps: Sequence[Tensor],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    amsgrad: bool,
    maximize: bool,
    decoupled: bool,
) -> None: ...
