"""The fused updates of the extension module, and the contract that both sides keep.

Each call updates all parameters of one group, in place, without recording anything and with the
GIL released while it computes. It may not fail halfway: it checks every operand first and raises
(naming the function, the parameter's position, shapes and dtypes) before it changes anything.

``grads`` is a list like ``params`` with ``None`` for parameters to skip, or ``None`` as a whole:
then the kernel reads the ``.grad`` of every parameter, and skips those that have none. The other
lists have one entry for each parameter, skipped ones included. State tensors have the shape
and dtype of their parameter (any dense strides), except ``steps``. ``maximize`` negates the
gradient. Every write bumps the version counter of the tensor written.

``sgd_(params, grads, momentum_buffers, first, lr, momentum, dampening, weight_decay, nesterov,
maximize) -> None``
    ``momentum_buffers`` is ``None`` when ``momentum`` is 0. ``first`` is ``None`` or a list of bool
    that marks buffers without a value yet. With g the gradient plus ``weight_decay * param``::

        buffer = g                                     where first
        buffer = momentum * buffer + (1 - dampening) * g    elsewhere
        param -= lr * (g + momentum * buffer if nesterov else buffer)

``adam_(params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps, lr, beta1, beta2, eps,
weight_decay, amsgrad, maximize, decoupled) -> None``
    ``max_exp_avg_sqs`` is ``None`` unless ``amsgrad``. ``steps`` are 0-d float32 tensors, one for
    each parameter, incremented for those that are updated. With t the new step::

        param *= 1 - lr * weight_decay                 if decoupled
        g += weight_decay * param                      otherwise
        exp_avg = beta1 * exp_avg + (1 - beta1) * g
        exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * g^2
        v = max_exp_avg_sq = max(max_exp_avg_sq, exp_avg_sq)    if amsgrad, else v = exp_avg_sq
        param -= lr / (1 - beta1^t) * exp_avg / (sqrt(v) / sqrt(1 - beta2^t) + eps)

    Bias corrections are computed in double.

All arguments are positional.
"""

from __future__ import annotations

from tapegrad import _C

__all__ = ["adam_", "sgd_"]

adam_ = _C._optim.adam_
sgd_ = _C._optim.sgd_
