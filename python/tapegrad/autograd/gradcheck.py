"""Numerical checks of derivatives: central differences against the tape, number by number."""

from __future__ import annotations

from itertools import product

from tapegrad import _C
from tapegrad.autograd.grad_mode import no_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from tapegrad._C import Tensor

    Function = Callable[..., Any]

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]

_SHOWN = 8  # entries that an error lists
_SEED = 20240229


class GradcheckError(RuntimeError):
    """A derivative that does not stand up to the numerical check."""


def gradcheck(
    func: Function,
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compare the derivatives of ``func`` with central differences; true when they agree.

    Every floating point tensor of ``inputs`` that requires a gradient is perturbed by ``eps``,
    entry by entry, in place (and put back), so ``func`` may also reach it by another way than its
    argument. Entries agree when ``|analytical - numerical| <= atol + rtol * |numerical|``. The
    inputs should be float64: in float32 differences carry only about three digits, and a warning
    says so.

    Also checked: the backward pass changes neither the inputs, nor the outputs, nor the gradient
    it was given; a second pass gives the same gradients within ``nondet_tol``; outputs that do
    not require a gradient are constant; with ``check_forward_ad`` forward mode agrees as well.
    ``fast_mode`` compares one random projection of each Jacobian instead of every entry.
    ``check_undefined_grad``, ``check_batched_grad``, ``check_batched_forward_grad`` and
    ``masked`` are accepted for PyTorch's signature; the engine passes no undefined gradients to
    rules, and batching is checked by its own tests.

    Errors: ``GradcheckError`` (or ``False`` with ``raise_exception=False``) that shows the
    analytical beside the numerical entries where they part most; ``ValueError`` when no input
    requires a gradient.

    >>> import tapegrad as tg
    >>> x = tg.tensor([0.5, 2.0], dtype=tg.float64, requires_grad=True)
    >>> tg.autograd.gradcheck(lambda x: x.exp() * x, (x,))
    True
    """
    check = _Check(func, inputs, eps, atol, rtol, nondet_tol, fast_mode)
    check.check_dtypes = check_grad_dtypes
    try:
        check.run(check_backward_ad, check_forward_ad)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Function,
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Check the second derivatives of ``func``: :func:`gradcheck` of its gradient.

    The gradient is taken as a function of the inputs and of ``grad_outputs``, which are drawn at
    random (the same at each call) when not given. ``gen_non_contig_grad_outputs`` draws them in a
    strided layout; ``check_fwd_over_rev`` adds forward mode over the backward pass. The other
    arguments are those of :func:`gradcheck`.

    >>> import tapegrad as tg
    >>> x = tg.tensor([0.5, 2.0], dtype=tg.float64, requires_grad=True)
    >>> tg.autograd.gradgradcheck(lambda x: x.exp() * x, x)
    True
    """
    arguments = _as_tuple(inputs)
    if grad_outputs is None:
        outputs = [out for out in _outputs_of(func, arguments) if out.requires_grad]
        weights = _random_weights(outputs, gen_non_contig_grad_outputs)
    else:
        weights = _as_tuple(grad_outputs)
        for weight in weights:
            weight.requires_grad_(True)
    count = len(arguments)

    def gradient(*values: Any) -> tuple[Tensor, ...]:
        from tapegrad.autograd import grad

        primal, seeds = values[:count], values[count:]
        results = tuple(out for out in _outputs_of(func, primal) if out.requires_grad)
        wanted = [x for x in primal if _is_differentiable(x)]
        grads = grad(results, wanted, seeds, create_graph=True, allow_unused=True)
        return tuple(g for g in grads if g is not None)

    return gradcheck(
        gradient,
        (*arguments, *weights),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_grad_dtypes=check_grad_dtypes,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
    )


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _outputs_of(func: Function, inputs: Sequence[Any]) -> tuple[Tensor, ...]:
    outputs = _as_tuple(func(*inputs))
    for out in outputs:
        if not isinstance(out, _C.Tensor):
            raise ValueError(
                f"gradcheck: the function must return tensors, got {type(out).__name__}"
            )
    return outputs


def _is_differentiable(value: Any) -> bool:
    return isinstance(value, _C.Tensor) and value.requires_grad and bool(value.is_floating_point())


def _random_weights(outputs: Sequence[Tensor], strided: bool) -> tuple[Tensor, ...]:
    generator = _C.Generator().manual_seed(_SEED)
    weights = []
    for out in outputs:
        shape = (*out.shape, 2) if strided else tuple(out.shape)
        weight = _C.randn(shape, dtype=out.dtype, generator=generator)
        if strided:
            weight = weight.select(-1, 0)
        weights.append(weight.detach().requires_grad_(True))
    return tuple(weights)


def _indices(tensor: Tensor) -> Iterator[tuple[int, ...]]:
    return product(*(range(size) for size in tensor.shape))


def _same(first: Tensor, second: Tensor) -> bool:
    """Equal values, where NaN equals NaN."""
    equal = (first == second) | ((first != first) & (second != second))
    return bool(equal.all())


class _Check:
    """One run of the check: holds the function, its inputs and the tolerances."""

    def __init__(
        self,
        func: Function,
        inputs: Any,
        eps: float,
        atol: float,
        rtol: float,
        nondet_tol: float,
        fast: bool,
    ) -> None:
        self.func = func
        self.inputs = _as_tuple(inputs)
        self.eps, self.atol, self.rtol = eps, atol, rtol
        self.nondet_tol, self.fast = nondet_tol, fast
        self.check_dtypes = False
        self.wrt = [(i, x) for i, x in enumerate(self.inputs) if _is_differentiable(x)]
        self.generator = _C.Generator().manual_seed(_SEED)
        self._validate()

    def _validate(self) -> None:
        if not self.wrt:
            raise ValueError(
                "gradcheck: no input is a floating point tensor that requires a gradient; "
                "call requires_grad_() on those to check"
            )
        for i, x in self.wrt:
            if x.dtype != _C.float64:
                import warnings

                warnings.warn(
                    f"gradcheck: input {i} has dtype {x.dtype}; differences are only trustworthy "
                    "in float64, the check will probably fail",
                    stacklevel=4,
                )
            if any(s == 0 and n > 1 for s, n in zip(x.stride(), x.shape, strict=True)):
                raise RuntimeError(
                    f"gradcheck: input {i} is expanded, several of its entries share memory, so "
                    "they cannot be perturbed one by one; call .contiguous() on it first"
                )

    def run(self, backward: bool, forward: bool) -> None:
        outputs = _outputs_of(self.func, self.inputs)
        for o in range(len(outputs)):
            # Anew each time: the perturbations are in-place changes, which spoil older graphs.
            out = _outputs_of(self.func, self.inputs)[o]
            if not out.is_floating_point():
                continue
            if not out.requires_grad:
                if not forward:  # forward mode compares such outputs with differences itself
                    self._expect_constant(o)
                continue
            if backward:
                self._check_output(o, out)
        if forward:
            self._check_forward()

    # --- numerical side -----------------------------------------------------------------------

    def _evaluate(self, o: int) -> Tensor:
        return _outputs_of(self.func, self.inputs)[o].detach().clone()

    def _shift(self, x: Tensor, index: tuple[int, ...], value: float) -> None:
        with no_grad():
            x.detach()[index] = value

    def _numerical(self, o: int, x: Tensor, out_numel: int) -> Tensor:
        """The Jacobian of output ``o``, one row for each entry of ``x``."""
        rows = _C.zeros((x.numel(), out_numel), dtype=_C.float64)
        for row, index in enumerate(_indices(x)):
            origin = x.detach()[index].item()
            try:
                self._shift(x, index, origin + self.eps)
                above = self._evaluate(o)
                self._shift(x, index, origin - self.eps)
                below = self._evaluate(o)
            finally:
                self._shift(x, index, origin)
            slope = (above.to(_C.float64) - below.to(_C.float64)) / (2 * self.eps)
            rows[row] = slope.reshape(-1)
        return rows

    def _numerical_along(self, o: int, x: Tensor, direction: Tensor) -> Tensor:
        origin = x.detach().clone()
        try:
            with no_grad():
                x.detach().copy_(origin + self.eps * direction)
            above = self._evaluate(o)
            with no_grad():
                x.detach().copy_(origin - self.eps * direction)
            below = self._evaluate(o)
        finally:
            with no_grad():
                x.detach().copy_(origin)
        return (above.to(_C.float64) - below.to(_C.float64)) / (2 * self.eps)

    # --- analytical side ----------------------------------------------------------------------

    def _pull(self, out: Tensor, seed: Tensor) -> list[Tensor]:
        """Gradients of ``(out * seed).sum()`` by all checked inputs, zeros where unused."""
        from tapegrad.autograd import grad

        wanted = [x for _, x in self.wrt]
        before = [x.detach().clone() for x in self.inputs if isinstance(x, _C.Tensor)]
        out_before, seed_before = out.detach().clone(), seed.clone()
        grads = grad(out, wanted, seed, retain_graph=True, allow_unused=True)
        after = [x for x in self.inputs if isinstance(x, _C.Tensor)]
        for i, (old, new) in enumerate(zip(before, after, strict=True)):
            if not _same(old, new.detach()):
                raise GradcheckError(f"The backward pass changed tensor input {i} in place")
        if not _same(out_before, out.detach()):
            raise GradcheckError("The backward pass changed the output in place")
        if not _same(seed_before, seed):
            raise GradcheckError("The backward pass changed the gradient it was given in place")
        for (i, x), g in zip(self.wrt, grads, strict=True):
            if g is None:
                continue
            if g.shape != x.shape:
                raise GradcheckError(
                    f"The gradient of input {i} has shape {tuple(g.shape)}, "
                    f"the input {tuple(x.shape)}"
                )
            if self.check_dtypes and g.dtype != x.dtype:
                raise GradcheckError(
                    f"The gradient of input {i} has dtype {g.dtype}, the input {x.dtype}"
                )
        return [
            _C.zeros_like(x) if g is None else g.detach().clone()
            for (_, x), g in zip(self.wrt, grads, strict=True)
        ]

    def _pull_twice(self, out: Tensor, seed: Tensor) -> list[Tensor]:
        first, second = self._pull(out, seed), self._pull(out, seed)
        for (i, _), a, b in zip(self.wrt, first, second, strict=True):
            if a.numel() and not _same(a, b):
                worst = float((a - b).abs().max())
                if not worst <= self.nondet_tol:
                    raise GradcheckError(
                        f"Backward is not reentrant: two passes with the same input and "
                        f"gradient give gradients of input {i} that differ by {worst:.3g} "
                        f"(nondet_tol={self.nondet_tol})"
                    )
        return first

    def _analytical(self, out: Tensor) -> list[Tensor]:
        """One Jacobian an input, in the layout of :meth:`_numerical`."""
        jacobians = [_C.zeros((x.numel(), out.numel()), dtype=_C.float64) for _, x in self.wrt]
        for column, index in enumerate(_indices(out)):
            seed = _C.zeros(tuple(out.shape), dtype=out.dtype)
            seed[index] = 1
            pull = self._pull_twice if column == 0 else self._pull
            for jacobian, g in zip(jacobians, pull(out, seed), strict=True):
                jacobian[:, column] = g.reshape(-1).to(_C.float64)
        return jacobians

    # --- comparison ---------------------------------------------------------------------------

    def _check_output(self, o: int, out: Tensor) -> None:
        if self.fast:
            self._check_projection(o, out)
            return
        analytical = self._analytical(out)
        for (i, x), jacobian in zip(self.wrt, analytical, strict=True):
            self._compare(o, i, x, out, jacobian, self._numerical(o, x, out.numel()), "backward")

    def _check_projection(self, o: int, out: Tensor) -> None:
        seed = self._unit(out)
        pulled = self._pull_twice(out, seed)
        for (i, x), g in zip(self.wrt, pulled, strict=True):
            direction = self._unit(x)
            analytical = float((g.to(_C.float64) * direction).sum())
            slope = self._numerical_along(o, x, direction)
            numerical = float((slope * seed.to(_C.float64)).sum())
            spread = float(seed.abs().sum()) * float(direction.abs().sum())
            if abs(analytical - numerical) <= self.atol * spread + self.rtol * abs(numerical):
                continue
            # Both sides again, entry by entry: a projection alone tells nothing about where.
            fresh = _outputs_of(self.func, self.inputs)[o]
            jacobian = self._analytical(fresh)[[j for j, _ in self.wrt].index(i)]
            self._compare(o, i, x, out, jacobian, self._numerical(o, x, out.numel()), "backward")
            raise GradcheckError(
                f"Jacobian mismatch for output {o} with respect to input {i} (fast mode),\n"
                f"numerical:{numerical!r}\nanalytical:{analytical!r}\n"
                "Entry by entry both agree; is the function deterministic?"
            )

    def _unit(self, like: Tensor) -> Tensor:
        vector = _C.randn(tuple(like.shape), dtype=like.dtype, generator=self.generator)
        length = float((vector * vector).sum()) ** 0.5
        return vector / length if length > 0 else vector

    def _compare(
        self,
        o: int,
        i: int,
        x: Tensor,
        out: Tensor,
        analytical: Tensor,
        numerical: Tensor,
        mode: str,
    ) -> None:
        gap = (analytical - numerical).abs()
        agree = gap <= self.atol + self.rtol * numerical.abs()
        agree = agree | (analytical == numerical)  # infinities of one sign have a gap of NaN
        if bool(agree.all()):
            return
        raise GradcheckError(_mismatch(o, i, x, out, analytical, numerical, agree, mode))

    def _expect_constant(self, o: int) -> None:
        for i, x in self.wrt:
            numerical = self._numerical(o, x, self._evaluate(o).numel())
            if numerical.numel() and float(numerical.abs().max()) > self.atol:
                raise GradcheckError(
                    f"Output {o} does not require a gradient, yet it changes with input {i} "
                    f"(numerical slope up to {float(numerical.abs().max()):.6g}); "
                    "was it detached on the way?"
                )

    # --- forward mode -------------------------------------------------------------------------

    def _check_forward(self) -> None:
        outputs = _outputs_of(self.func, self.inputs)
        for i, x in self.wrt:
            analytical = [_C.zeros((x.numel(), out.numel()), dtype=_C.float64) for out in outputs]
            for row, index in enumerate(_indices(x)):
                tangent = _C.zeros(tuple(x.shape), dtype=x.dtype)
                tangent[index] = 1
                for o, pushed in enumerate(self._push(i, x, tangent)):
                    if pushed is not None:
                        analytical[o][row] = pushed.reshape(-1).to(_C.float64)
            for o, out in enumerate(outputs):
                if out.is_floating_point():
                    numerical = self._numerical(o, x, out.numel())
                    self._compare(o, i, x, out, analytical[o], numerical, "forward mode")

    def _push(self, i: int, x: Tensor, tangent: Tensor) -> list[Tensor | None]:
        from tapegrad.autograd import forward_ad

        with forward_ad.dual_level():
            arguments = list(self.inputs)
            arguments[i] = forward_ad.make_dual(x.detach().requires_grad_(True), tangent)
            pushed = [forward_ad.unpack_dual(out)[1] for out in _outputs_of(self.func, arguments)]
            return [None if t is None else t.detach().clone() for t in pushed]


def _mismatch(
    o: int,
    i: int,
    x: Tensor,
    out: Tensor,
    analytical: Tensor,
    numerical: Tensor,
    agree: Tensor,
    mode: str,
) -> str:
    """The message: both Jacobians, and the entries where they part, the worst first."""
    in_indices, out_indices = list(_indices(x)), list(_indices(out))
    parting = []
    for row, index in enumerate(in_indices):
        for column, out_index in enumerate(out_indices):
            if not bool(agree[row, column]):
                a, n = float(analytical[row, column]), float(numerical[row, column])
                gap = abs(a - n)
                parting.append((gap if gap == gap else float("inf"), index, out_index, a, n))
    parting.sort(key=lambda entry: -entry[0])
    lines = [
        f"  d output{list(out_index)} / d input{list(index)}: "
        f"analytical {a:.10g}, numerical {n:.10g}, difference {abs(a - n):.3g}"
        for _, index, out_index, a, n in parting[:_SHOWN]
    ]
    if len(parting) > _SHOWN:
        lines.append(f"  ... and {len(parting) - _SHOWN} more")
    return (
        f"Jacobian mismatch for output {o} with respect to input {i} ({mode}),\n"
        f"numerical:{numerical}\nanalytical:{analytical}\n"
        f"{len(parting)} of {agree.numel()} entries differ "
        f"(input shape {tuple(x.shape)}, output shape {tuple(out.shape)}):\n" + "\n".join(lines)
    )
