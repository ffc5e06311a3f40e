"""Measures the operations one by one beside PyTorch, and prints how they compare.

    python benchmarks/operations.py                         # every operation, forward, one thread
    python benchmarks/operations.py --only sort,linalg.     # names, or beginnings of names
    python benchmarks/operations.py --grad                  # forward and backward
    python benchmarks/operations.py --sizes 1,4096          # these sizes (and sides) alone
    python benchmarks/operations.py --json FILE

Both libraries run in processes of their own on the same cores and take turns at each row. Sizes
are elements (1, 4096, 4M), for matrix operations the side (8 to 1024). Times are the best of many.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanes import PEERS, Lane, measure, serve

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (1, 4096, 4 * 1024 * 1024)
SIDES = (8, 128, 512, 1024)

# Functions of one tensor of numbers in (0.1, 0.9), by where they live.
UNARY = """
abs acos acosh asin asinh atan atanh ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2
expm1 floor frac i0 isfinite isnan lgamma log log10 log1p log2 logit logical_not nan_to_num neg
reciprocal round rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt square tan tanh trunc relu
selu nn.functional.celu nn.functional.elu nn.functional.gelu nn.functional.hardsigmoid
nn.functional.hardswish nn.functional.leaky_relu nn.functional.logsigmoid nn.functional.mish
nn.functional.relu6 nn.functional.silu nn.functional.softplus nn.functional.softsign
nn.functional.tanhshrink special.entr special.erfcx special.i0e special.i1 special.log_ndtr
special.ndtr special.ndtri all amax amin any argmax argmin count_nonzero logsumexp0 max mean
median min nanmean nansum norm prod std sum var cummax0 cummin0 cumprod0 cumsum0 logcumsumexp0
sort argsort unique bincount histc diff flip0 softmax0 log_softmax0 clone isclose2
"""
BINARY = """
add sub mul div pow atan2 copysign eq floor_divide fmax fmod ge hypot le logaddexp logical_and
maximum minimum remainder xlogy lerp3 addcmul3 addcdiv3 where3 bitwise_and2
"""
MATRIX = """
matmul linalg.cholesky linalg.det linalg.eigh linalg.inv linalg.lstsq linalg.matrix_exp
linalg.qr linalg.slogdet linalg.solve linalg.svd linalg.svdvals transpose_copy tril triu outer
kron8 trace cdist einsum
"""


@dataclass
class Row:
    """One operation: how to make its operands, and how to call it."""

    name: str
    sizes: tuple[int, ...]
    operands: Callable[[Any, int], list[Any]]
    call: Callable[..., Any]


def find(torch: Any, name: str) -> Any:
    home = torch
    for part in name.split("."):
        home = getattr(home, part)
    return home


def ramp(torch: Any, n: int, low: float = 0.1, high: float = 0.9) -> Any:
    """Numbers spread over (low, high) in no order."""
    steps = torch.arange(n, dtype=torch.float64) * 0.6180339887498949
    return ((steps - steps.floor()) * (high - low) + low).float()


def unary(name: str) -> Row:
    special: dict[str, Callable[[Any, Any], Any]] = {
        "logsumexp0": lambda torch, x: torch.logsumexp(x, 0),
        "cummax0": lambda torch, x: torch.cummax(x, 0).values,
        "cummin0": lambda torch, x: torch.cummin(x, 0).values,
        "cumprod0": lambda torch, x: torch.cumprod(x, 0),
        "cumsum0": lambda torch, x: torch.cumsum(x, 0),
        "logcumsumexp0": lambda torch, x: torch.logcumsumexp(x, 0),
        "sort": lambda torch, x: torch.sort(x).values,
        "bincount": lambda torch, x: torch.bincount((x * 100).long()),
        "flip0": lambda torch, x: torch.flip(x, (0,)),
        "softmax0": lambda torch, x: torch.softmax(x, 0),
        "log_softmax0": lambda torch, x: torch.log_softmax(x, 0),
        "acosh": lambda torch, x: torch.acosh(x + 1.0),
        "std": lambda torch, x: torch.std(x, correction=0),
        "var": lambda torch, x: torch.var(x, correction=0),
        "isclose2": lambda torch, x: torch.isclose(x, x),
        "unique": lambda torch, x: torch.unique(x),
    }
    call = special.get(name) or (lambda torch, x: find(torch, name)(x))
    return Row(name, SIZES, lambda torch, n: [ramp(torch, n)], call)


def binary(name: str) -> Row:
    special: dict[str, Callable[..., Any]] = {
        "lerp3": lambda torch, x, y: torch.lerp(x, y, 0.3),
        "addcmul3": lambda torch, x, y: torch.addcmul(x, x, y),
        "addcdiv3": lambda torch, x, y: torch.addcdiv(x, x, y),
        "where3": lambda torch, x, y: torch.where(x > 0.5, x, y),
        "bitwise_and2": lambda torch, x, y: torch.bitwise_and(x > 0.5, y > 0.5),
    }
    call = special.get(name) or (lambda torch, x, y: find(torch, name)(x, y))
    return Row(name, SIZES, lambda torch, n: [ramp(torch, n), ramp(torch, n, 0.3, 0.8)], call)


def matrix(name: str) -> Row:
    special: dict[str, Callable[..., Any]] = {
        "linalg.lstsq": lambda torch, a: torch.linalg.lstsq(a, a[:, :1]).solution,
        "linalg.solve": lambda torch, a: torch.linalg.solve(a, a[:, :1]),
        "linalg.eigh": lambda torch, a: torch.linalg.eigh(a).eigenvalues,
        "linalg.qr": lambda torch, a: torch.linalg.qr(a).R,
        "linalg.svd": lambda torch, a: torch.linalg.svd(a, full_matrices=False).S,
        "linalg.slogdet": lambda torch, a: torch.linalg.slogdet(a).logabsdet,
        "matmul": lambda torch, a: a @ a,
        "transpose_copy": lambda torch, a: a.t().contiguous(),
        "outer": lambda torch, a: torch.outer(a[0], a[1]),
        "kron8": lambda torch, a: torch.kron(a[:8, :8], a),
        "cdist": lambda torch, a: torch.cdist(a, a[:8]),
        "einsum": lambda torch, a: torch.einsum("ij,kj->ik", a, a),
    }

    def operands(torch: Any, n: int) -> list[Any]:
        a = ramp(torch, n * n).reshape(n, n)
        return [a @ a.t() / n + torch.eye(n)]  # symmetric, positive definite, well conditioned

    call = special.get(name) or (lambda torch, a: find(torch, name)(a))
    return Row(name, SIDES, operands, call)


def indexed() -> list[Row]:
    """Operations that move elements by number, or along rows of 64."""

    def numbers(torch: Any, n: int) -> list[Any]:
        x = ramp(torch, n)
        return [x, (ramp(torch, n) * n).long().clamp(0, n - 1)]

    def table(torch: Any, n: int) -> list[Any]:
        return [ramp(torch, n).reshape(-1, min(n, 64))]

    rows: dict[str, Callable[..., Any]] = {
        "index": lambda torch, x, i: x[i],
        "index_select": lambda torch, x, i: torch.index_select(x, 0, i),
        "gather": lambda torch, x, i: torch.gather(x, 0, i),
        "scatter": lambda torch, x, i: torch.scatter(x, 0, i, x),
        "scatter_add": lambda torch, x, i: torch.scatter_add(x, 0, i, x),
        "scatter_reduce": lambda torch, x, i: torch.scatter_reduce(x, 0, i, x, "amax"),
        "index_add": lambda torch, x, i: torch.index_add(x, 0, i, x),
        "index_put": lambda torch, x, i: torch.index_put(x, (i,), x),
        "take": lambda torch, x, i: torch.take(x, i),
        "masked_select": lambda torch, x, i: torch.masked_select(x, x > 0.5),
        "masked_fill": lambda torch, x, i: torch.masked_fill(x, x > 0.5, 0.0),
        "nonzero": lambda torch, x, i: torch.nonzero(x > 0.5),
        "searchsorted": lambda torch, x, i: torch.searchsorted(torch.arange(100.0), x * 100),
        "topk": lambda torch, x, i: torch.topk(x, min(10, x.numel())).values,
    }
    inner: dict[str, Callable[..., Any]] = {
        "sum-rows": lambda torch, x: x.sum(1),
        "sum-columns": lambda torch, x: x.sum(0),
        "softmax-rows": lambda torch, x: torch.softmax(x, 1),
        "sort-rows": lambda torch, x: torch.sort(x, 1).values,
        "cumsum-rows": lambda torch, x: torch.cumsum(x, 1),
        "roll": lambda torch, x: torch.roll(x, 1, 0),
        "cat": lambda torch, x: torch.cat((x, x), 1),
        "repeat": lambda torch, x: x.repeat(2, 1),
        "repeat_interleave": lambda torch, x: torch.repeat_interleave(x, 2, 0),
        "pad": lambda torch, x: torch.nn.functional.pad(x, (1, 1)),
        "normalize": lambda torch, x: torch.nn.functional.normalize(x, dim=1),
    }
    return [
        *(Row(name, SIZES, numbers, call) for name, call in rows.items()),
        *(Row(name, SIZES, table, call) for name, call in inner.items()),
    ]


def more() -> list[Row]:
    """Forms with more operands, and reductions that look for places."""

    def three(torch: Any, n: int) -> list[Any]:
        return [ramp(torch, n), ramp(torch, n, 0.3, 0.5), ramp(torch, n, 0.5, 0.8)]

    def image(torch: Any, n: int) -> list[Any]:
        return [ramp(torch, n).reshape(1, -1, *((1, 1) if n == 1 else (16, 16)))]

    def table(torch: Any, n: int) -> list[Any]:
        return [ramp(torch, n).reshape(-1, min(n, 64))]

    def numbers(torch: Any, n: int) -> list[Any]:
        return [ramp(torch, n), (ramp(torch, n) * n).long().clamp(0, n - 1)]

    elementwise: dict[str, Callable[..., Any]] = {
        "clamp": lambda torch, x, y, z: torch.clamp(x, 0.2, 0.7),
        "clamp-tensors": lambda torch, x, y, z: torch.clamp(x, y, z),
        "clamp_min-tensor": lambda torch, x, y, z: torch.clamp_min(x, y),
        "lerp-tensor": lambda torch, x, y, z: torch.lerp(x, y, z),
        "addcmul": lambda torch, x, y, z: torch.addcmul(x, y, z, value=0.5),
        "addcdiv": lambda torch, x, y, z: torch.addcdiv(x, y, z, value=0.5),
        "float_power": lambda torch, x, y, z: torch.float_power(x, 1.7),
        "float_power-square": lambda torch, x, y, z: torch.float_power(x, 2),
        "float_power-tensor": lambda torch, x, y, z: torch.float_power(x, y),
        "pow-number": lambda torch, x, y, z: torch.pow(x, 1.7),
        "pow-base": lambda torch, x, y, z: torch.pow(1.7, x),
        "zeta": lambda torch, x, y, z: torch.special.zeta(x + 1.5, y),
        "polygamma1": lambda torch, x, y, z: torch.polygamma(1, x),
        "polygamma2": lambda torch, x, y, z: torch.polygamma(2, x),
        "lgamma-negative": lambda torch, x, y, z: torch.lgamma((x - 0.5) * 20),
        "lgamma-large": lambda torch, x, y, z: torch.lgamma(x * 100),
        "equal": lambda torch, x, y, z: torch.equal(x, x + 0.0),
        "equal-not": lambda torch, x, y, z: torch.equal(x, y),
        "allclose": lambda torch, x, y, z: torch.allclose(x, x),
        "vdot": lambda torch, x, y, z: torch.dot(x, y),
        "isin": lambda torch, x, y, z: torch.isin(x, x[:10]),
        "quantile": lambda torch, x, y, z: torch.quantile(x[: 1 << 23], 0.3),
        "bucketize": lambda torch, x, y, z: torch.bucketize(x * 100, torch.arange(100.0)),
        "searchsorted-64": lambda torch, x, y, z: torch.searchsorted(torch.arange(64.0), x * 64),
        "heaviside": lambda torch, x, y, z: torch.heaviside(x - 0.5, y),
        "nextafter": lambda torch, x, y, z: torch.nextafter(x, y),
        "logaddexp2": lambda torch, x, y, z: torch.logaddexp2(x, y),
        "ldexp": lambda torch, x, y, z: torch.ldexp(x, y),
        "dist": lambda torch, x, y, z: torch.dist(x, y),
        "mse_loss": lambda torch, x, y, z: torch.nn.functional.mse_loss(x, y),
        "rsub": lambda torch, x, y, z: torch.rsub(x, y),
        "round-decimals": lambda torch, x, y, z: torch.round(x, decimals=2),
        "div-floor": lambda torch, x, y, z: torch.div(x, y, rounding_mode="floor"),
        "div-trunc": lambda torch, x, y, z: torch.div(x, y, rounding_mode="trunc"),
        "polar-hypot": lambda torch, x, y, z: torch.hypot(x, y),
        "half-mul": lambda torch, x, y, z: torch.mul(x.bfloat16(), y.bfloat16()),
        "long-add": lambda torch, x, y, z: torch.add((x * 9).long(), 3),
    }
    rows: dict[str, Callable[..., Any]] = {
        "renorm": lambda torch, x: torch.renorm(x, 2, 0, 1.0),
        "renorm-columns": lambda torch, x: torch.renorm(x, 2, 1, 1.0),
        "vecdot": lambda torch, x: torch.linalg.vecdot(x, x),
        "median-rows": lambda torch, x: torch.median(x, 1).values,
        "kthvalue-rows": lambda torch, x: torch.kthvalue(x, (x.shape[1] + 1) // 2, 1).values,
        "mode-rows": lambda torch, x: torch.mode(x, 1).values,
        "quantile-rows": lambda torch, x: torch.quantile(x, 0.3, 1),
        "nanmedian-rows": lambda torch, x: torch.nanmedian(x, 1).values,
        "argmax-rows": lambda torch, x: torch.argmax(x, 1),
        "max-rows": lambda torch, x: torch.max(x, 1).values,
        "amax-columns": lambda torch, x: torch.amax(x, 0),
        "var-rows": lambda torch, x: torch.var(x, 1, correction=0),
        "norm-rows": lambda torch, x: torch.linalg.vector_norm(x, dim=1),
        "norm3-rows": lambda torch, x: torch.linalg.vector_norm(x, 3, dim=1),
        "prod-rows": lambda torch, x: torch.prod(x, 1),
        "logsumexp-rows": lambda torch, x: torch.logsumexp(x, 1),
        "cummax-rows": lambda torch, x: torch.cummax(x, 1).values,
        "cumprod-rows": lambda torch, x: torch.cumprod(x, 1),
        "flip-rows": lambda torch, x: torch.flip(x, (1,)),
        "topk-rows": lambda torch, x: torch.topk(x, min(5, x.shape[1]), 1).values,
        "stack": lambda torch, x: torch.stack((x, x)),
        "tile": lambda torch, x: torch.tile(x, (1, 2)),
        "transpose": lambda torch, x: x.t().contiguous(),
        "layer_norm": lambda torch, x: torch.nn.functional.layer_norm(x, x.shape[1:]),
        "one_hot": lambda torch, x: torch.nn.functional.one_hot((x[:, 0] * 9).long(), 10),
        "cosine_similarity": lambda torch, x: torch.cosine_similarity(x, x, 1),
        "unique-dim": lambda torch, x: torch.unique((x * 5).round()),
    }
    images: dict[str, Callable[..., Any]] = {
        "to-channels-last": lambda torch, x: x.permute(0, 2, 3, 1).contiguous(),
        "from-channels-last": lambda torch, x: (
            x.reshape(1, 16 if x.numel() > 1 else 1, -1, x.shape[1])
            .permute(0, 3, 1, 2)
            .contiguous()
        ),
        "avg_pool": lambda torch, x: torch.nn.functional.adaptive_avg_pool2d(x, 1),
        "pixel_shuffle": lambda torch, x: torch.pixel_unshuffle(x, x.shape[-1] // 2 or 1),
    }
    places: dict[str, Callable[..., Any]] = {
        "index_reduce": lambda torch, x, i: torch.index_reduce(x, 0, i, x, "amax"),
        "scatter_reduce-prod": lambda torch, x, i: torch.scatter_reduce(x, 0, i, x, "prod"),
        "scatter_reduce-mean": lambda torch, x, i: torch.scatter_reduce(x, 0, i, x, "mean"),
        "scatter_reduce-alone": lambda torch, x, i: torch.scatter_reduce(
            x, 0, i, x, "amax", include_self=False
        ),
        "index_copy": lambda torch, x, i: torch.index_copy(x, 0, i, x),
        "index_fill": lambda torch, x, i: torch.index_fill(x, 0, i, 1.0),
        "embedding": lambda torch, x, i: torch.nn.functional.embedding(i, x[:, None]),
        "take_along_dim": lambda torch, x, i: torch.take_along_dim(x, i, 0),
        "put": lambda torch, x, i: torch.index_put(x, (i,), x, accumulate=True),
    }
    return [
        *(Row(name, SIZES, three, call) for name, call in elementwise.items()),
        *(Row(name, SIZES, table, call) for name, call in rows.items()),
        *(Row(name, SIZES, image, call) for name, call in images.items()),
        *(Row(name, SIZES, numbers, call) for name, call in places.items()),
    ]


def all_rows() -> list[Row]:
    return [
        *map(unary, UNARY.split()),
        *map(binary, BINARY.split()),
        *indexed(),
        *more(),
        *map(matrix, MATRIX.split()),
    ]


def step_of(torch: Any, row: Row, size: int, grad: bool) -> Callable[[], Any]:
    operands = row.operands(torch, size)
    if not grad:
        return lambda: row.call(torch, *operands)
    leaves = [x.requires_grad_() for x in operands if x.is_floating_point()]
    result = row.call(torch, *operands)
    if not result.requires_grad:
        raise TypeError("not differentiable")
    seed = torch.ones_like(result)
    return lambda: torch.autograd.grad(row.call(torch, *operands), leaves, seed, allow_unused=True)


def build(torch: Any, request: dict[str, Any]) -> Callable[[], Any]:
    row = next(row for row in all_rows() if row.name == request["row"])
    return step_of(torch, row, request["size"], request["grad"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="names or beginnings of names, by commas")
    parser.add_argument(
        "--sizes", default="", help="of all sizes and sides, those named, by commas"
    )
    parser.add_argument("--grad", action="store_true", help="forward and backward")
    parser.add_argument("--json", metavar="FILE", help="write all results here")
    parser.add_argument("--serve", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.threads, build)
        return
    sizes = {int(size) for size in options.sizes.split(",") if size}
    wanted = tuple(name for name in options.only.split(",") if name) or ("",)
    lanes = {peer: Lane(__file__, peer) for peer in PEERS}
    ratios, results, slower = [], [], []
    for row in all_rows():
        if not row.name.startswith(wanted):
            continue
        texts = []
        for size in row.sizes:
            if sizes and size not in sizes:
                continue
            request = {"row": row.name, "size": size, "grad": options.grad}
            found = measure(lanes, request)
            results.append({**request, **found})
            if "error" in found:
                texts.append(f"{found['error'][:60]:>24}")
                continue
            ratio = found["torch"] / found["tapegrad"]
            ratios.append(ratio)
            if ratio < 1 / 1.1:
                slower.append(f"{row.name} {size}: {ratio:.2f}")
            texts.append(f"{found['tapegrad'] * 1e6:11.2f} us {ratio:8.2f}")
        print(f"{row.name:28}" + "  ".join(texts), flush=True)
    print(f"\nPyTorch's time / ours: median {statistics.median(ratios):.2f}, {len(ratios)} rows")
    print(f"more than 10% slower than PyTorch: {len(slower)}")
    for text in slower:
        print("  ", text)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
