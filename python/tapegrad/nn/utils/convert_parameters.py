"""Parameters as one vector, and back."""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from tapegrad._C import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of ``parameters`` in one vector, which differentiates back to them.

    >>> import tapegrad as tg
    >>> tg.nn.utils.parameters_to_vector([tg.ones(2), tg.zeros(1, 1)])
    tensor([1., 1., 0.])
    """
    parts = [parameter.reshape(-1) for parameter in parameters]
    if not parts:
        raise ValueError("parameters_to_vector: got no parameters")
    return _C.cat(parts)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give ``parameters`` the elements of ``vec``, in order; they become views of it.

    Errors: ``TypeError`` if ``vec`` is no tensor; ``ValueError`` if it has fewer elements than the
    parameters, which are unchanged then.

    >>> import tapegrad as tg
    >>> w = tg.zeros(2)
    >>> tg.nn.utils.vector_to_parameters(tg.tensor([1.0, 2.0]), [w])
    >>> w
    tensor([1., 2.])
    """
    if not isinstance(vec, _C.Tensor):
        raise TypeError(f"expected a Tensor, but got: {type(vec).__name__}")
    parameters = list(parameters)
    needed = sum(parameter.numel() for parameter in parameters)
    if vec.numel() < needed:
        raise ValueError(
            f"vector_to_parameters: the parameters have {needed} elements, the vector of shape "
            f"{tuple(vec.shape)} only {vec.numel()}"
        )
    position = 0
    for parameter in parameters:
        end = position + parameter.numel()
        parameter.data = vec[position:end].view_as(parameter).data
        position = end
