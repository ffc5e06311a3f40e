"""Ready parametrizations: weight normalization, spectral normalization, orthogonal matrices."""

from __future__ import annotations

from tapegrad import _C
from tapegrad._C import Tensor
from tapegrad.autograd.grad_mode import no_grad
from tapegrad.nn.modules.module import Module
from tapegrad.nn.utils.parametrize import register_parametrization

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

_MAPS = ("matrix_exp", "cayley", "householder")
_FIRST_ITERATIONS = 15


# --- weight normalization -----------------------------------------------------------------------


def norm_except_dim(weight: Tensor, dim: int | None) -> Tensor:
    """Euclidean norms over all dimensions but ``dim`` (-1 or None: over all)."""
    if dim is None or dim == -1:
        return weight.norm()
    others = [d for d in range(weight.dim()) if d != dim % weight.dim()]
    return weight.norm(2, others, keepdim=True) if others else weight.abs()


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / norm_except_dim(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Split a weight into its length and direction (Salimans and Kingma, 2016).

    ``parametrizations.weight.original0`` holds the lengths, one for each index of ``dim`` (one for
    all with ``None``), ``original1`` the direction. States of the older
    :func:`tapegrad.nn.utils.weight_norm` can be loaded.

    >>> import tapegrad as tg
    >>> layer = tg.nn.utils.parametrizations.weight_norm(tg.nn.Linear(20, 40))
    >>> layer.parametrizations.weight.original0.shape
    tapegrad.Size([40, 1])
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(owner: Module, state_dict: Any, prefix: str, *args: Any) -> None:
        older = f"{prefix}{name}_g", f"{prefix}{name}_v"
        if all(key in state_dict for key in older):
            for i, key in enumerate(older):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module.register_load_state_dict_pre_hook(rename)
    return module


# --- spectral normalization ---------------------------------------------------------------------


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight with ``dim`` as rows and everything else as columns."""
    if dim != 0:
        weight = weight.permute(dim, *(d for d in range(weight.dim()) if d != dim))
    return weight.flatten(1)


def output_dim(module: Module) -> int:
    """The dimension of a weight that counts outputs."""
    from tapegrad.nn.modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d

    return int(isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)))


def random_unit(like: Tensor, size: int, eps: float) -> Tensor:
    """A random direction."""
    return _C._nn.normalize(_C.randn(size, dtype=like.dtype), dim=0, eps=eps)


class _SpectralNorm(Module):
    _u: Tensor
    _v: Tensor

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        ndim = weight.dim()
        if not -ndim <= dim < ndim:
            raise IndexError(
                f"spectral_norm: dim must be in [{-ndim}, {ndim - 1}] for a weight of {ndim} "
                f"dimensions, got {dim}"
            )
        check_iterations(n_power_iterations)
        self.dim = dim % ndim
        self.eps = eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            with no_grad():
                matrix = as_matrix(weight.detach(), self.dim)
                self.register_buffer("_u", random_unit(matrix, matrix.shape[0], eps))
                self.register_buffer("_v", random_unit(matrix, matrix.shape[1], eps))
                self._iterate(matrix, _FIRST_ITERATIONS)

    def _iterate(self, matrix: Tensor, count: int) -> None:
        with no_grad():
            for _ in range(count):
                self._u.copy_(_C._nn.normalize(matrix @ self._v, dim=0, eps=self.eps))
                self._v.copy_(_C._nn.normalize(matrix.t() @ self._u, dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return _C._nn.normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        # Copies: the next iteration writes into the buffers, this one's derivative reads them.
        u, v = self._u.clone(), self._v.clone()
        return weight / _C.dot(u, matrix @ v)

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def check_iterations(count: int) -> None:
    """Raise ``ValueError`` unless positive."""
    if count <= 0:
        raise ValueError(f"spectral_norm: n_power_iterations must be positive, got {count}")


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value (Miyato et al., 2018).

    That value comes from ``n_power_iterations`` steps of the power method at each use in training
    mode. ``dim`` counts the rows of the weight as a matrix: the dimension of outputs by default.

    >>> import tapegrad as tg
    >>> layer = tg.nn.utils.parametrizations.spectral_norm(tg.nn.Linear(20, 40))
    >>> round(tg.linalg.matrix_norm(layer.weight.detach(), 2).item())
    1
    """
    weight = _weight_of("spectral_norm", module, name)
    if dim is None:
        dim = output_dim(module)
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return register_parametrization(module, name, made)


def _weight_of(op: str, module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"{op}: {type(module).__name__} has no parameter or buffer named '{name}'")
    return weight


# --- orthogonal matrices ------------------------------------------------------------------------


def _orthogonal_basis(matrix: Tensor) -> Tensor:
    """The factor Q of the QR decomposition with a positive diagonal of R."""
    q, r = _C._linalg.qr(matrix)
    signs = r.diagonal(dim1=-2, dim2=-1).sign()
    return q * _C.where(signs == 0, 1.0, signs).unsqueeze(-2)


def _is_orthogonal(matrix: Tensor) -> bool:
    n, k = matrix.shape[-2:]
    identity = _C.eye(k, dtype=matrix.dtype)
    limit = 10.0 * n * _C.finfo(matrix.dtype).eps
    return _C.allclose(matrix.mT @ matrix, identity.expand(*matrix.shape[:-2], k, k), atol=limit)


def _reflections(vectors: Tensor) -> Tensor:
    """The first columns of a product of reflections: along the columns of a unit lower triangle."""
    n, k = vectors.shape[-2:]
    lower = vectors.tril(-1) + _C.eye(n, k, dtype=vectors.dtype)
    scale = 2.0 / (lower * lower).sum(-2)
    result = _C.eye(n, k, dtype=vectors.dtype).expand(vectors.shape)
    for i in reversed(range(k)):
        v = lower[..., :, i : i + 1]
        result = result - scale[..., i, None, None] * (v @ (v.mT @ result))
    return result


def _reflections_of(matrix: Tensor) -> Tensor:
    """What :func:`_reflections` takes to an orthogonal matrix; the diagonal has columns' signs."""
    rest, result = matrix.clone(), _C.zeros_like(matrix)
    for i in range(matrix.shape[-1]):
        x = rest[..., i:, i]
        size = x.norm(2, -1)
        head = x[..., 0]
        pivot = _C.where(head > 0, -size, size)
        flat = x[..., 1:].abs().sum(-1) == 0
        divisor = _C.where(flat, _C.ones_like(head), head - pivot)
        v = _C.cat([_C.ones_like(x[..., :1]), x[..., 1:] / divisor.unsqueeze(-1)], -1).unsqueeze(-1)
        # A reflection of the first coordinate alone stands where the column is done already.
        block = rest[..., i:, i:]
        block = block - 2.0 / (v * v).sum((-2, -1), keepdim=True) * (v @ (v.mT @ block))
        rest[..., i:, i:] = block
        result[..., i + 1 :, i] = v[..., 1:, 0]
        result[..., i, i] = block[..., 0, 0].sign()
    return result


class _Orthogonal(Module):
    base: Tensor | None

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:
        n, k = X.shape[-2:]
        wide = n < k
        if wide:
            X, n, k = X.mT, k, n
        Q = self._reflect(X) if self.orthogonal_map == "householder" else self._rotate(X, n, k)
        if self.use_trivialization and self.base is not None:
            Q = self.base @ Q
        return Q.mT if wide else Q

    def _reflect(self, X: Tensor) -> Tensor:
        signs = X.diagonal(dim1=-2, dim2=-1).detach().int().to(X.dtype)
        return _reflections(X) * signs.unsqueeze(-2)

    def _rotate(self, X: Tensor, n: int, k: int) -> Tensor:
        X = X.tril()
        if n != k:
            zeros = _C.zeros((*X.shape[:-2], n, n - k), dtype=X.dtype)
            X = _C.cat([X, zeros], -1)
        A = X - X.mT
        if self.orthogonal_map == "matrix_exp":
            Q = _C.matrix_exp(A)
        else:
            identity = _C.eye(n, dtype=A.dtype).expand(A.shape)
            Q = _C._linalg.solve(identity - A * 0.5, identity + A * 0.5)
        return Q[..., :k] if n != k else Q

    def right_inverse(self, Q: Tensor) -> Tensor:
        if Q.shape != self.shape:
            raise ValueError(
                f"orthogonal: expected a matrix or batch of matrices of shape {tuple(self.shape)}, "
                f"got {tuple(Q.shape)}"
            )
        with no_grad():
            wide = Q.shape[-2] < Q.shape[-1]
            tall = Q.detach().mT if wide else Q.detach()
            if not self.use_trivialization:
                if self.orthogonal_map != "householder":
                    raise NotImplementedError(
                        f"orthogonal: the map '{self.orthogonal_map}' cannot be assigned to with "
                        "use_trivialization=False"
                    )
                start = _reflections_of(_orthogonal_basis(tall))
                return start.mT if wide else start
            self.base = self._base_of(tall)
            return -_C.eye(*Q.shape[-2:], dtype=Q.dtype).expand(Q.shape).contiguous()

    def _base_of(self, Q: Tensor) -> Tensor:
        """A square orthogonal matrix that begins with the columns of Q, made orthogonal."""
        n, k = Q.shape[-2:]
        if n == k:
            return Q.clone() if _is_orthogonal(Q) else _orthogonal_basis(Q)
        others = _C.randn((*Q.shape[:-2], n, n - k), dtype=Q.dtype)
        return _orthogonal_basis(_C.cat([Q, others], -1))


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a weight (or each matrix of a batch) orthogonal: with orthonormal rows or columns.

    ``orthogonal_map`` is "matrix_exp" (the default for square matrices), "cayley" or "householder"
    (the default for others). ``use_trivialization`` starts from the weight that is there, made
    orthogonal, at the cost of a square buffer (Lezcano-Casado, 2019).

    Errors: ``ValueError`` for a weight of less than 2 dimensions or an unknown map.

    >>> import tapegrad as tg
    >>> layer = tg.nn.utils.parametrizations.orthogonal(tg.nn.Linear(4, 3))
    >>> product = layer.weight @ layer.weight.T
    >>> tg.allclose(product, tg.eye(3), atol=1e-5)
    True
    """
    weight = _weight_of("orthogonal", module, name)
    if weight.dim() < 2:
        raise ValueError(
            f"orthogonal: expected a matrix or batch of matrices, got shape {tuple(weight.shape)}"
        )
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError(
            f"orthogonal: orthogonal_map must be one of {', '.join(_MAPS)}, got {orthogonal_map!r}"
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)
