"""``BatchNorm1d``, ``BatchNorm2d``, ``BatchNorm3d`` and ``SyncBatchNorm``."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.nn import init
from tapegrad.nn.modules.module import Module
from tapegrad.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"]

_batch_norm = _C._nn.batch_norm


class _NormBase(Module):
    """Parameters and running statistics of ``num_features`` channels."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: _C.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            value = _C.empty((num_features,), device=device, dtype=dtype) if wanted else None
            self.register_parameter(name, None if value is None else Parameter(value))
        if track_running_stats:
            zeros = _C.zeros((num_features,), device=device, dtype=dtype)
            self.register_buffer("running_mean", zeros)
            self.register_buffer("running_var", _C.ones_like(zeros))
            self.register_buffer("num_batches_tracked", _C.tensor(0, dtype=_C.int64))
        else:
            self.register_buffer("running_mean", None)
            self.register_buffer("running_var", None)
            self.register_buffer("num_batches_tracked", None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the statistics of all batches."""
        if not self.track_running_stats:
            return
        for buffer, value in (
            (self.running_mean, 0),
            (self.running_var, 1),
            (self.num_batches_tracked, 0),
        ):
            if buffer is not None:
                buffer.fill_(value)

    def reset_parameters(self) -> None:
        """Forget the statistics, and set weights to 1 and biases to 0."""
        self.reset_running_stats()
        if self.affine:
            if self.weight is not None:
                init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )

    def _expect_channels(self, input: Tensor, dim: int) -> None:
        """An error that names the channels, which the operation could not."""
        if input.dim() > dim and input.size(dim) != self.num_features:
            from tapegrad import ShapeError

            raise ShapeError(
                f"{type(self).__name__}: expected an input with {self.num_features} channels in "
                f"dimension {dim}, got shape {tuple(input.shape)}"
            )


class _BatchNorm(_NormBase):
    _dims: tuple[int, ...]

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in self._dims:
            wanted = " or ".join(f"{d}D" for d in self._dims)
            raise ValueError(
                f"{type(self).__name__}: expected {wanted} input (got {input.dim()}D input, "
                f"shape {tuple(input.shape)})"
            )
        self._expect_channels(input, 1)

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in self._dims or input.size(1) != self.num_features:
            self._check_input_dim(input)
        training, mean = self.training, self.running_mean
        if not training and mean is None:
            return _batch_norm(input, None, None, self.weight, self.bias, True, 0.0, self.eps)
        momentum = 0.0 if self.momentum is None else self.momentum
        if not training or not self.track_running_stats:
            if training:
                mean = None
            var = None if mean is None else self.running_var
            return _batch_norm(
                input, mean, var, self.weight, self.bias, training, momentum, self.eps
            )
        counter = self.num_batches_tracked
        if counter is not None and self.momentum is None:
            momentum = 1.0 / (float(counter.item()) + 1.0)
        y = _batch_norm(
            input, mean, self.running_var, self.weight, self.bias, True, momentum, self.eps
        )
        if counter is not None:
            counter.add_(1)
        return y


class BatchNorm1d(_BatchNorm):
    """Batch norm (Ioffe and Szegedy, 2015) of (N, C) or (N, C, L), C being ``num_features``.

    (x - mean) / sqrt(var + ``eps``) * weight + bias, with the statistics of each channel over the
    batch in training, and with running ones in evaluation mode. These move by ``momentum`` towards
    those of each batch (None: they are the average of all batches); ``track_running_stats=False``
    uses the batch's in both modes. ``affine=False`` leaves out weight (1) and bias (0),
    ``bias=False`` the bias alone. Raises ``ValueError`` for an input of other dimensions, or of one
    value a channel in training.

    >>> import tapegrad as tg
    >>> tg.nn.BatchNorm1d(1)(tg.tensor([[1.0], [3.0]])).tolist()
    [[-0.9999949932098389], [0.9999949932098389]]
    """

    _dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """:class:`BatchNorm1d` for (N, C, H, W).

    >>> import tapegrad as tg
    >>> tg.nn.BatchNorm2d(3)(tg.rand(2, 3, 4, 4)).shape
    tapegrad.Size([2, 3, 4, 4])
    """

    _dims = (4,)


class BatchNorm3d(_BatchNorm):
    """:class:`BatchNorm1d` for (N, C, D, H, W).

    >>> import tapegrad as tg
    >>> tg.nn.BatchNorm3d(3)(tg.rand(2, 3, 4, 4, 4)).shape
    tapegrad.Size([2, 3, 4, 4, 4])
    """

    _dims = (5,)


class SyncBatchNorm(_BatchNorm):
    """:class:`BatchNorm1d` for (N, C, ...) of any number of dimensions from two on.

    PyTorch's takes the statistics over the batches of all processes; here there is one process, so
    that models which were trained with it load and run. ``process_group`` is kept and changes
    nothing.

    >>> import tapegrad as tg
    >>> net = tg.nn.Sequential(tg.nn.Conv2d(1, 2, 3), tg.nn.BatchNorm2d(2))
    >>> tg.nn.SyncBatchNorm.convert_sync_batchnorm(net)[1](tg.rand(1, 2, 4, 4)).shape
    tapegrad.Size([1, 2, 4, 4])
    """

    _dims = tuple(range(2, 65))

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: _C.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(
                f"SyncBatchNorm: expected at least 2D input (got {input.dim()}D input, shape "
                f"{tuple(input.shape)})"
            )
        self._expect_channels(input, 1)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """``module`` with every ``BatchNorm*d`` in it replaced by a ``SyncBatchNorm``.

        Parameters and statistics are the same tensors. The module itself is returned, or what
        stands for it when it is a batch norm.
        """
        result = module
        if isinstance(module, _BatchNorm):
            result = other = SyncBatchNorm(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
                bias=module.bias is not None,
            )
            if module.affine:
                other.weight, other.bias = module.weight, module.bias
            other.running_mean, other.running_var = module.running_mean, module.running_var
            other.num_batches_tracked = module.num_batches_tracked
            other.training = module.training
        for name, child in module.named_children():
            result.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return result
