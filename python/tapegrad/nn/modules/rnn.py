"""Recurrent networks: ``RNN``, ``LSTM``, ``GRU``, and their cells."""

from __future__ import annotations

import math
import warnings

from tapegrad import _C
from tapegrad.nn import init
from tapegrad.nn.modules.module import Module
from tapegrad.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.nn.utils.rnn import PackedSequence

    Pair = tuple[Tensor, Tensor]

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
_NETWORKS = {
    "LSTM": _C.lstm,
    "GRU": _C.gru,
    "RNN_TANH": _C.rnn_tanh,
    "RNN_RELU": _C.rnn_relu,
}


def _uniform(module: Module, hidden_size: int) -> None:
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


def _is_number(value: Any) -> bool:
    if isinstance(value, (int, float)):
        return True
    from numbers import Number

    return isinstance(value, Number)


class RNNBase(Module):
    """What ``RNN``, ``LSTM`` and ``GRU`` share: weights, checks and layouts.

    Weights are named ``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0`` and, with
    projections, ``weight_hr_l0``; the number is the layer, and the second direction's names end in
    ``_reverse``. All are drawn from U(-k, k) with k = 1/sqrt(hidden_size).
    """

    mode: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check_arguments()
        names = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse") if bidirectional else ("",):
                for name, shape in self._shapes(layer):
                    names.append(f"{name}_l{layer}{suffix}")
                    setattr(self, names[-1], Parameter(_C.empty(shape, device=device, dtype=dtype)))
        self._weight_names = tuple(names)
        self.reset_parameters()

    def _check_arguments(self) -> None:
        if self.mode not in _GATES:
            raise ValueError(f"Unrecognized RNN mode: {self.mode}; one of {', '.join(_GATES)}")
        dropout: Any = self.dropout
        if isinstance(dropout, bool) or not _is_number(dropout):
            dropout = -1
        if not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                f"element being zeroed, got {self.dropout!r}"
            )
        hidden_size: Any = self.hidden_size
        if not isinstance(hidden_size, int):
            kind = type(hidden_size).__name__
            raise TypeError(f"hidden_size should be of type int, got: {kind}")
        if self.hidden_size <= 0:
            raise ValueError(f"hidden_size must be greater than zero, got {self.hidden_size}")
        if self.num_layers <= 0:
            raise ValueError(f"num_layers must be greater than zero, got {self.num_layers}")
        if self.proj_size < 0:
            raise ValueError(
                f"proj_size should be a positive integer or zero to disable projections, got "
                f"{self.proj_size}"
            )
        if self.proj_size >= self.hidden_size:
            raise ValueError(
                f"proj_size has to be smaller than hidden_size, got {self.proj_size} and "
                f"{self.hidden_size}"
            )
        if dropout > 0 and self.num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero "
                f"dropout expects num_layers greater than 1, but got dropout={self.dropout} and "
                f"num_layers={self.num_layers}",
                stacklevel=4,
            )

    def _shapes(self, layer: int) -> list[tuple[str, tuple[int, ...]]]:
        """Names and shapes of the weights of one layer and direction."""
        rows = _GATES[self.mode] * self.hidden_size
        state = self.proj_size or self.hidden_size
        features = state * (2 if self.bidirectional else 1) if layer else self.input_size
        shapes: list[tuple[str, tuple[int, ...]]] = [
            ("weight_ih", (rows, features)),
            ("weight_hh", (rows, state)),
        ]
        if self.bias:
            shapes += [("bias_ih", (rows,)), ("bias_hh", (rows,))]
        if self.proj_size:
            shapes.append(("weight_hr", (self.proj_size, self.hidden_size)))
        return shapes

    @property
    def _flat_weights(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._weight_names]

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights, a list for each layer and direction."""
        flat, each = self._flat_weights, len(self._shapes(0))
        return [flat[i : i + each] for i in range(0, len(flat), each)]

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        _uniform(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Nothing: on a CPU the weights may lie where they like."""

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        for name, usual in (
            ("proj_size", 0),
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0),
            ("bidirectional", False),
        ):
            value = getattr(self, name)
            if value != usual:
                text += f", {name}={value}"
        return text

    # The state: one tensor here, a pair in LSTM.

    def get_expected_hidden_size(
        self, input: Tensor, batch_sizes: Tensor | None
    ) -> tuple[int, int, int]:
        """The shape of the hidden state: (layers * directions, batch, hidden or projected)."""
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.size(0) if self.batch_first else input.size(1)
        directions = 2 if self.bidirectional else 1
        return (self.num_layers * directions, batch, self.proj_size or self.hidden_size)

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raise where dtype, dimensions or features of the input do not fit the weights."""
        weight: Tensor = getattr(self, self._weight_names[0])
        if input.dtype != weight.dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). "
                f"Convert the input with .to({weight.dtype}), or the model with .to({input.dtype})"
            )
        expected = 3 if batch_sizes is None else 2
        if input.dim() != expected:
            raise _C.ShapeError(f"input must have {expected} dimensions, got {input.dim()}")
        if input.size(-1) != self.input_size:
            raise _C.ShapeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {input.size(-1)} (input of shape {list(input.shape)})"
            )

    def check_hidden_size(
        self,
        hx: Tensor,
        expected_hidden_size: tuple[int, int, int],
        msg: str = "Expected hidden size {}, got {}",
    ) -> None:
        """Raise, with ``msg``, unless the state has the expected shape."""
        if tuple(hx.shape) != expected_hidden_size:
            raise _C.ShapeError(msg.format(expected_hidden_size, list(hx.shape)))

    def _check_state(self, state: list[Tensor], shape: tuple[int, int, int]) -> None:
        self.check_hidden_size(state[0], shape)

    def _zero_state(self, input: Tensor, shape: tuple[int, int, int]) -> list[Tensor]:
        return [_C.zeros(shape, dtype=input.dtype)]

    def _run(self, input: Any, hx: list[Tensor] | None) -> tuple[Any, list[Tensor]]:
        """Output, in the layout of the input, and final states."""
        if isinstance(input, tuple):
            from tapegrad.nn.utils.rnn import PackedSequence

            if isinstance(input, PackedSequence):
                return self._run_packed(input, hx)
        name = type(self).__name__ if self.mode in ("LSTM", "GRU") else "RNN"
        if input.dim() not in (2, 3):
            raise _C.ShapeError(
                f"{name}: Expected input to be 2D or 3D, got {input.dim()}D tensor instead"
            )
        single = input.dim() == 2
        if hx is not None:
            self._check_state_dims(hx, single)
        if single:
            input = input.unsqueeze(0 if self.batch_first else 1)
            hx = None if hx is None else [state.unsqueeze(1) for state in hx]
        self.check_input(input, None)
        shape = self.get_expected_hidden_size(input, None)
        if hx is None:
            hx = self._zero_state(input, shape)
        else:
            self._check_state(hx, shape)
        output, *states = self._network(input, None, hx)
        if single:
            output = output.squeeze(0 if self.batch_first else 1)
            states = [state.squeeze(1) for state in states]
        return output, states

    def _check_state_dims(self, hx: list[Tensor], single: bool) -> None:
        expected = 2 if single else 3
        what = "unbatched 2-D" if single else "batched 3-D"
        found = tuple(state.dim() for state in hx)
        if any(dim != expected for dim in found):
            text = f"({found[0]}-D, {found[1]}-D) tensors" if len(found) == 2 else f"{found[0]}-D"
            also = (
                f"hx and cx should also be {expected}-D"
                if len(found) == 2
                else (f"hx should also be {expected}-D")
            )
            raise _C.ShapeError(f"For {what} input, {also} but got {text} tensor")

    def _run_packed(
        self, packed: PackedSequence, hx: list[Tensor] | None
    ) -> tuple[Any, list[Tensor]]:
        input, batch_sizes, sorted_indices, unsorted_indices = packed
        self.check_input(input, batch_sizes)
        shape = self.get_expected_hidden_size(input, batch_sizes)
        if hx is None:
            hx = self._zero_state(input, shape)
        else:
            self._check_state(hx, shape)
            if sorted_indices is not None:
                hx = [state.index_select(1, sorted_indices) for state in hx]
        output, *states = self._network(input, batch_sizes, hx)
        if unsorted_indices is not None:
            states = [state.index_select(1, unsorted_indices) for state in states]
        result = type(packed)(output, batch_sizes, sorted_indices, unsorted_indices)
        return result, states

    def _network(
        self, input: Tensor, batch_sizes: Tensor | None, hx: list[Tensor]
    ) -> tuple[Tensor, ...]:
        function: Any = _NETWORKS[self.mode]
        rows = (input,) if batch_sizes is None else (input, batch_sizes)
        layout = (self.batch_first,) if batch_sizes is None else ()
        result: tuple[Tensor, ...] = function(
            *rows,
            hx if self.mode == "LSTM" else hx[0],
            self._flat_weights,
            self.bias,
            self.num_layers,
            float(self.dropout),
            self.training,
            self.bidirectional,
            *layout,
        )
        return result


class RNN(RNNBase):
    """Layers of ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or with relu.

    Arguments: ``input_size``; ``hidden_size``; ``num_layers=1``; ``nonlinearity='tanh'`` or
    ``'relu'``; ``bias=True``; ``batch_first=False``, whether the batch is the first dimension of
    input and output; ``dropout=0``, on the output of each layer but the last, in training;
    ``bidirectional=False``. Called with the input, (L, N, input_size), (L, input_size) or a
    ``PackedSequence``, and the initial state (layers * directions, N, hidden_size), zeros if left
    out, it gives the output (L, N, directions * hidden_size) and the final state. Errors:
    ``ValueError`` for impossible arguments, ``ShapeError`` for sizes that do not fit.

    >>> import tapegrad as tg
    >>> output, state = tg.nn.RNN(10, 20, 2)(tg.ones(5, 3, 10))
    >>> output.shape, state.shape
    (tapegrad.Size([5, 3, 20]), tapegrad.Size([2, 3, 20]))
    """

    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: _C.dtype | None = None,
        **kwargs: Any,
    ) -> None:
        _refuse(kwargs)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__(
            f"RNN_{nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, states = self._run(input, None if hx is None else [hx])
        return output, states[0]


class GRU(RNNBase):
    """Layers of gated recurrent units (Cho et al., 2014), in PyTorch's form.

    ``r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)``, ``z`` likewise,
    ``n = tanh(W_in x + b_in + r (W_hn h + b_hn))`` and ``h' = (1 - z) n + z h``; the weights hold
    r, z, n in this order. Arguments, call and errors as for :class:`RNN`, without
    ``nonlinearity``.

    >>> import tapegrad as tg
    >>> output, state = tg.nn.GRU(10, 20, bidirectional=True)(tg.ones(5, 3, 10))
    >>> output.shape, state.shape
    (tapegrad.Size([5, 3, 40]), tapegrad.Size([2, 3, 20]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: _C.dtype | None = None,
        **kwargs: Any,
    ) -> None:
        _refuse(kwargs)
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, states = self._run(input, None if hx is None else [hx])
        return output, states[0]


class LSTM(RNNBase):
    """Layers of long short-term memory (Hochreiter and Schmidhuber, 1997).

    ``i, f, o = sigmoid(W x + b + W' h + b')``, ``g`` the same with tanh, ``c' = f c + i g`` and
    ``h' = o tanh(c')``, projected by ``weight_hr`` if ``proj_size`` is not 0; the weights hold i,
    f, g, o in this order. Arguments, call and errors as for :class:`RNN`, without
    ``nonlinearity``; the state is a pair (h, c).

    >>> import tapegrad as tg
    >>> output, (h, c) = tg.nn.LSTM(10, 20, proj_size=5)(tg.ones(5, 3, 10))
    >>> output.shape, h.shape, c.shape
    (tapegrad.Size([5, 3, 5]), tapegrad.Size([1, 3, 5]), tapegrad.Size([1, 3, 20]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def get_expected_cell_size(
        self, input: Tensor, batch_sizes: Tensor | None
    ) -> tuple[int, int, int]:
        """The shape of the cell state: (layers * directions, batch, hidden)."""
        layers, batch, _ = self.get_expected_hidden_size(input, batch_sizes)
        return (layers, batch, self.hidden_size)

    def _check_state(self, state: list[Tensor], shape: tuple[int, int, int]) -> None:
        cell = (*shape[:2], self.hidden_size)
        self.check_hidden_size(state[0], shape, "Expected hidden[0] size {}, got {}")
        self.check_hidden_size(state[1], cell, "Expected hidden[1] size {}, got {}")

    def _zero_state(self, input: Tensor, shape: tuple[int, int, int]) -> list[Tensor]:
        zeros = _C.zeros(shape, dtype=input.dtype)
        if not self.proj_size:
            return [zeros, zeros]
        return [zeros, _C.zeros((*shape[:2], self.hidden_size), dtype=input.dtype)]

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Pair]:
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise TypeError(f"LSTM: expected hx to be a pair (h_0, c_0), got {type(hx).__name__}")
        output, (h, c) = self._run(input, None if hx is None else list(hx))
        return output, (h, c)


def _refuse(kwargs: dict[str, Any]) -> None:
    if "proj_size" in kwargs:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
    if kwargs:
        raise TypeError(f"unexpected keyword argument {next(iter(kwargs))!r}")


# --- cells ---------------------------------------------------------------------------------------


class RNNCellBase(Module):
    """What the cells share: ``weight_ih``, ``weight_hh``, ``bias_ih``, ``bias_hh``, and checks."""

    input_size: int
    hidden_size: int
    bias: bool
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        for name, width in (("weight_ih", input_size), ("weight_hh", hidden_size)):
            setattr(self, name, Parameter(_C.empty((rows, width), device=device, dtype=dtype)))
        for name in ("bias_ih", "bias_hh"):
            empty = Parameter(_C.empty((rows,), device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, empty)
        self.reset_parameters()

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        _uniform(self, self.hidden_size)

    def _check(self, input: Tensor, states: list[Tensor]) -> None:
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise _C.ShapeError(
                f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead"
            )
        if input.size(-1) != self.input_size:
            raise _C.ShapeError(
                f"{name}: input has inconsistent input_size: got {input.size(-1)}, expected "
                f"{self.input_size}"
            )
        for i, state in enumerate(states):
            what = f"hx[{i}]" if len(states) == 2 else "hidden"
            if state.dim() not in (1, 2):
                raise _C.ShapeError(
                    f"{name}: Expected {what} to be 1D or 2D, got {state.dim()}D instead"
                )

    def _states(self, input: Tensor, hx: Any) -> Any:
        """The checked state, zeros of the input's batch if none is given."""
        if hx is None:
            self._check(input, [])
            return _C.zeros((*input.shape[:-1], self.hidden_size), dtype=input.dtype)
        self._check(input, hx if isinstance(hx, list) else [hx])
        return hx


class RNNCell(RNNCellBase):
    """One step ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or with relu.

    Arguments: ``input_size``; ``hidden_size``; ``bias=True``; ``nonlinearity='tanh'`` or
    ``'relu'``. Called with the input (N, input_size) or (input_size,) and the state
    (N, hidden_size) or (hidden_size,), zeros if left out, it gives the next state. Errors:
    ``ShapeError``.

    >>> import tapegrad as tg
    >>> tg.nn.RNNCell(10, 20)(tg.ones(3, 10)).shape
    tapegrad.Size([3, 20])
    """

    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}; 'tanh' or 'relu'")
        hx = self._states(input, hx)
        cell = _C.rnn_tanh_cell if self.nonlinearity == "tanh" else _C.rnn_relu_cell
        return cell(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


class LSTMCell(RNNCellBase):
    """One step of :class:`LSTM`: the state is a pair (h, c), and so is the result.

    Arguments: ``input_size``; ``hidden_size``; ``bias=True``. Shapes and errors as for
    :class:`RNNCell`.

    >>> import tapegrad as tg
    >>> h, c = tg.nn.LSTMCell(10, 20)(tg.ones(3, 10))
    >>> h.shape, c.shape
    (tapegrad.Size([3, 20]), tapegrad.Size([3, 20]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: Pair | None = None) -> Pair:
        if hx is None:
            zeros = self._states(input, None)
            hx = (zeros, zeros)
        else:
            self._states(input, list(hx))
        h, c = _C.lstm_cell(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return h, c


class GRUCell(RNNCellBase):
    """One step of :class:`GRU`.

    Arguments: ``input_size``; ``hidden_size``; ``bias=True``. Shapes and errors as for
    :class:`RNNCell`.

    >>> import tapegrad as tg
    >>> tg.nn.GRUCell(10, 20)(tg.ones(3, 10)).shape
    tapegrad.Size([3, 20])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        hx = self._states(input, hx)
        return _C.gru_cell(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
