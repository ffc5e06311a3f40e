"""Modules as functions of their parameters."""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.nn import Module

    State = Mapping[str, Tensor]


def _merge(dictionaries: State | Sequence[State]) -> dict[str, Tensor]:
    if isinstance(dictionaries, dict):
        return dict(dictionaries)
    merged: dict[str, Tensor] = {}
    for dictionary in dictionaries:
        if not hasattr(dictionary, "items"):
            raise ValueError(
                "functional_call: expected a dict of parameters and buffers or a sequence of "
                f"dicts, got {type(dictionaries).__name__}"
            )
        for name, value in dictionary.items():
            if name in merged:
                raise ValueError(f"functional_call: {name!r} appears in more than one dictionary")
            merged[name] = value
    return merged


def _places(module: Module, tie_weights: bool) -> dict[str, list[tuple[Any, str]]]:
    """Table and key of every parameter and buffer by name, tied ones at all their places."""
    by_tensor: dict[int, list[tuple[Any, str]]] = {}
    names: dict[str, list[tuple[Any, str]]] = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for key, tensor in table.items():
                if tensor is None:
                    continue
                name = f"{prefix}.{key}" if prefix else key
                places = by_tensor.setdefault(id(tensor), []) if tie_weights else []
                places.append((table, key))
                names[name] = places
    return names


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: State | Sequence[State],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call ``module`` with other parameters and buffers; the module itself stays as it was.

    Args:
        parameter_and_buffer_dicts: tensors by the names of ``named_parameters`` and
            ``named_buffers``, in one dict or several
        args: the arguments, a tuple, or one argument
        kwargs: keyword arguments
        tie_weights: parameters that are one tensor in the module are replaced together
        strict: raise unless exactly all parameters and buffers are given

    Errors: ``RuntimeError``: a name that the module does not have, or, with ``strict``, one
    that is missing

    >>> import tapegrad as tg
    >>> from tapegrad.func import functional_call
    >>> layer = tg.nn.Linear(2, 1)
    >>> state = {"weight": tg.ones(1, 2), "bias": tg.zeros(1)}
    >>> functional_call(layer, state, tg.tensor([3.0, 4.0])).item()
    7.0
    """
    state = _merge(parameter_and_buffer_dicts)
    places = _places(module, tie_weights)
    unexpected = [name for name in state if name not in places]
    missing = [name for name in places if name not in state] if strict else []
    if unexpected or missing:
        raise RuntimeError(
            f"functional_call: names do not fit {type(module).__name__}: "
            f"unexpected {unexpected}, missing {missing}"
        )
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    saved = []
    try:
        for name, value in state.items():
            for table, key in places[name]:
                saved.append((table, key, table[key]))
                table[key] = value
        return module(*args, **(kwargs or {}))
    finally:
        for table, key, value in reversed(saved):
            table[key] = value


def stack_module_state(
    models: Sequence[Module],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters and buffers of modules of one architecture, stacked along a new first dimension.

    Returns two dicts by name, for :func:`vmap` over :func:`functional_call`; the parameters are
    new leaves that require gradients where the modules' do.

    >>> import tapegrad as tg
    >>> from tapegrad.func import stack_module_state
    >>> params, buffers = stack_module_state([tg.nn.Linear(2, 3) for _ in range(4)])
    >>> params["weight"].shape
    tapegrad.Size([4, 3, 2])
    """
    if len(models) == 0:
        raise RuntimeError("stack_module_state: expected at least one model, got 0")
    if any(model.training is not models[0].training for model in models):
        raise RuntimeError(
            "stack_module_state: expected all models to have the same training/eval mode"
        )
    if any(type(model) is not type(models[0]) for model in models):
        raise RuntimeError("stack_module_state: expected all models to be of the same class")
    tables = [dict(model.named_parameters()) for model in models]
    params = {}
    for name, first in tables[0].items():
        stacked = _C.stack([table[name].detach() for table in tables])
        params[name] = stacked.requires_grad_(first.requires_grad)
    buffer_tables = [dict(model.named_buffers()) for model in models]
    buffers = {
        name: _C.stack([table[name].detach() for table in buffer_tables])
        for name in buffer_tables[0]
    }
    return params, buffers
