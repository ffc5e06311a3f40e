"""What is measured: one entry a workload, written once for every module that speaks PyTorch's API.

A builder takes the module (`torch` or `tapegrad`) and returns one timed call. Every build starts
from the same NumPy data, so that all peers must arrive at the same numbers. `jax_workloads.py` has
JAX's versions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Step = Callable[[], Any]

TANH_MLP = (2, 64, 64, 1)
SMALL_MLP = (2, 32, 32, 1)  # of the Hessian and the Laplacian
SAMPLE_MLP = (64, 128, 10)
RELU_MLP = (4, 32, 3)
IMAGE_MLP = (784, 512, 256, 10)
WIDE_MLP = (1024, 2048, 2048, 1024)
PINN = (2, 32, 32, 32, 1)
LSTM = (64, 256, 60, 32)  # features, hidden, steps, batch
BIG = (4096, 1024)  # 4M elements
LENET_CONVOLUTIONS = ((1, 32, 3, 26), (32, 64, 3, 24))
RESNET20_CONVOLUTIONS = (
    (3, 16, 3, 32),
    *((16, 16, 3, 32),) * 6,
    (16, 32, 3, 16),
    (16, 32, 1, 16),
    *((32, 32, 3, 16),) * 5,
    (32, 64, 3, 8),
    (32, 64, 1, 8),
    *((64, 64, 3, 8),) * 5,
)
ADAM_TENSORS, ADAM_SIDE = 10, 1024  # 10.5M parameters
GPT_LAYERS, GPT_HEADS, GPT_WIDTH, GPT_WORDS = 4, 4, 128, 65
GPT_TOKENS = (8, 128)
CHAIN = 1000  # steps of two operations each
CALLS = 1000  # repetitions of a very short operation inside one timed call


@dataclass(frozen=True)
class Workload:
    """One row. `targets` maps a peer to the least acceptable ratio (its time / ours) on one thread;
    `flops` and `traffic` (bytes) are the least work that any implementation does."""

    name: str
    title: str
    build: Callable[[Any], Step]
    bound: str
    targets: Mapping[str, float] = field(default_factory=dict)
    flops: float = 0.0
    traffic: float = 0.0
    double: bool = False
    calls: int = 1


# Data, the same for every peer -----------------------------------------------------------------


@cache
def uniform(shape: tuple[int, ...], seed: int, low: float = -1.0, high: float = 1.0) -> Array:
    values: Array = np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)
    return values


@cache
def labels(count: int, classes: int) -> Array:
    values: Array = np.random.default_rng(7).integers(0, classes, count)
    return values


@cache
def layers(sizes: tuple[int, ...]) -> list[tuple[Array, Array]]:
    """Weights (outputs, inputs) and biases, in the range that `nn.Linear` uses."""
    result = []
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        edge = fan_in**-0.5
        weight = uniform((fan_out, fan_in), 100 + i, -edge, edge)
        result.append((weight, uniform((fan_out,), 200 + i, -edge, edge)))
    return result


@cache
def recurrent_weights(gates: int) -> list[Array]:
    """Weights of input and state, and both biases, in PyTorch's order and range."""
    features, hidden, edge = LSTM[0], LSTM[1], LSTM[1] ** -0.5
    shapes: list[tuple[int, ...]] = [(gates * hidden, features), (gates * hidden, hidden)]
    shapes += [(gates * hidden,)] * 2
    return [uniform(shape, 300 + i, -edge, edge) for i, shape in enumerate(shapes)]


def sequences() -> tuple[Array, Array]:
    """Input and target."""
    features, hidden, steps, batch = LSTM
    return uniform((steps, batch, features), 1), uniform((steps, batch, hidden), 2)


def mlp_flops(sizes: tuple[int, ...], batch: int) -> float:
    """2 a weight for the output, its gradient, and the input's (not of the first layer)."""
    products = [a * b for a, b in pairwise(sizes)]
    return 2.0 * batch * (3 * sum(products) - products[0])


def conv_flops(convolutions: tuple[tuple[int, int, int, int], ...], batch: int) -> float:
    """Of (channels, outputs, size of the kernel, height of the square result), as in mlp_flops;
    the first one's input gets no gradient."""
    products = [a * b * size**2 * height**2 for a, b, size, height in convolutions]
    return 2.0 * batch * (3 * sum(products) - products[0])


def parameters(sizes: tuple[int, ...]) -> int:
    return sum((a + 1) * b for a, b in pairwise(sizes))


# Builders for PyTorch's API ----------------------------------------------------------------------


def tensor(torch: Any, values: Array) -> Any:
    return torch.from_numpy(values).clone()


def mlp(torch: Any, sizes: tuple[int, ...], activation: str) -> Any:
    nn = torch.nn
    modules: list[Any] = []
    for fan_in, fan_out in pairwise(sizes):
        modules += [nn.Linear(fan_in, fan_out), getattr(nn, activation)()]
    model = nn.Sequential(*modules[:-1])
    values = [array for layer in layers(sizes) for array in layer]
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.copy_(torch.from_numpy(value))
    return model


def train(model: Any, criterion: Any, optimizer: Any, x: Any, y: Any) -> Step:
    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def tanh_mlp(torch: Any) -> Step:
    model = mlp(torch, TANH_MLP, "Tanh")
    x, y = tensor(torch, uniform((64, 2), 1)), tensor(torch, uniform((64, 1), 2))
    return train(model, torch.nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=1e-3), x, y)


def relu_mlp(torch: Any) -> Step:
    model = mlp(torch, RELU_MLP, "ReLU")
    x, y = tensor(torch, uniform((32, 4), 1)), tensor(torch, labels(32, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return train(model, torch.nn.CrossEntropyLoss(), optimizer, x, y)


def image_mlp(torch: Any) -> Step:
    model = mlp(torch, IMAGE_MLP, "ReLU")
    x, y = tensor(torch, uniform((128, 784), 1, 0.0)), tensor(torch, labels(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return train(model, torch.nn.CrossEntropyLoss(), optimizer, x, y)


def wide_mlp(torch: Any) -> Step:
    model = mlp(torch, WIDE_MLP, "GELU")
    x, y = tensor(torch, uniform((512, 1024), 1)), tensor(torch, uniform((512, 1024), 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return train(model, torch.nn.MSELoss(), optimizer, x, y)


def recurrent(kind: str) -> Callable[[Any], Step]:
    """One layer: every step's output against a target."""

    def build(torch: Any) -> Step:
        network = getattr(torch.nn, kind)(*LSTM[:2])
        values = recurrent_weights(network.weight_ih_l0.shape[0] // LSTM[1])
        with torch.no_grad():
            for parameter, value in zip(network.parameters(), values, strict=True):
                parameter.copy_(torch.from_numpy(value))
        x, y = (tensor(torch, array) for array in sequences())
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        return train(lambda x: network(x)[0], torch.nn.MSELoss(), optimizer, x, y)

    return build


def recurrent_flops(gates: int) -> float:
    """Products with both weights, and those of both gradients; none for the input's."""
    features, hidden, steps, batch = LSTM
    return 2.0 * steps * batch * gates * hidden * (3 * hidden + 2 * features)


def gpt_block(torch: Any) -> Any:
    """One layer of a GPT, norms first."""
    nn = torch.nn
    attention = nn.functional.scaled_dot_product_attention
    wide = GPT_WIDTH

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(wide), nn.LayerNorm(wide)
            self.qkv, self.out = nn.Linear(wide, 3 * wide), nn.Linear(wide, wide)
            self.mlp = nn.Sequential(
                nn.Linear(wide, 4 * wide), nn.GELU(), nn.Linear(4 * wide, wide)
            )

        def forward(self, x: Any) -> Any:
            batch, length, _ = x.shape
            q, k, v = (
                t.view(batch, length, GPT_HEADS, wide // GPT_HEADS).transpose(1, 2)
                for t in self.qkv(self.norm1(x)).split(wide, 2)
            )
            y = attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, length, wide)
            x = x + self.out(y)
            return x + self.mlp(self.norm2(x))

    return Block()


def gpt(torch: Any) -> Step:
    """One step of AdamW on a GPT of characters."""
    nn = torch.nn
    blocks = nn.Sequential(*(gpt_block(torch) for _ in range(GPT_LAYERS)))
    words, places = nn.Embedding(GPT_WORDS, GPT_WIDTH), nn.Embedding(GPT_TOKENS[1], GPT_WIDTH)
    norm, head = nn.LayerNorm(GPT_WIDTH), nn.Linear(GPT_WIDTH, GPT_WORDS, bias=False)
    model = nn.ModuleList([words, places, blocks, norm, head])
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            if parameter.dim() == 2:
                parameter.copy_(torch.from_numpy(uniform(tuple(parameter.shape), i, -0.05, 0.05)))
            elif parameter.shape[0] != GPT_WIDTH or not bool((parameter == 1).all()):
                parameter.zero_()
    ids = labels(GPT_TOKENS[0] * GPT_TOKENS[1] + 1, GPT_WORDS)
    x = tensor(torch, ids[:-1]).reshape(GPT_TOKENS)
    y = tensor(torch, ids[1:])
    at = torch.arange(GPT_TOKENS[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()

    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(head(norm(blocks(words(x) + places(at)))).flatten(0, 1), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def gpt_flops() -> float:
    """3 products a matrix, and 6 in attention, of which the causal mask leaves half."""
    tokens = GPT_TOKENS[0] * GPT_TOKENS[1]
    matrices = 12 * GPT_WIDTH**2 * GPT_LAYERS + GPT_WORDS * GPT_WIDTH
    attention = 6 * tokens * GPT_TOKENS[1] * GPT_WIDTH * GPT_LAYERS / 2
    return 2.0 * (3 * tokens * matrices + attention)


def one_sample(torch: Any) -> Step:
    model = mlp(torch, RELU_MLP, "ReLU")
    x = tensor(torch, uniform((1, 4), 1))

    def step() -> Any:
        with torch.no_grad():
            return model(x)

    return step


def pinn(torch: Any) -> Step:
    """Poisson's equation: the network's Laplacian in every point against a given right side."""
    model = mlp(torch, PINN, "Tanh")
    points = tensor(torch, uniform((256, 2), 1)).requires_grad_()
    right = tensor(torch, uniform((256,), 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    grad = torch.autograd.grad

    def step() -> Any:
        optimizer.zero_grad()
        points.grad = None
        slope = grad(model(points).sum(), points, create_graph=True)[0]
        xx = grad(slope[:, 0].sum(), points, create_graph=True)[0][:, 0]
        yy = grad(slope[:, 1].sum(), points, create_graph=True)[0][:, 1]
        loss = (xx + yy - right).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    return step


# Images ----------------------------------------------------------------------------------------


def lenet(torch: Any) -> Step:
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 12 * 12, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    fill(torch, model)
    x, y = tensor(torch, uniform((64, 1, 28, 28), 1)), tensor(torch, labels(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    return train(model, nn.CrossEntropyLoss(), optimizer, x, y)


def fill(torch: Any, model: Any) -> None:
    """The same weights for every peer; biases and shifts are 0, scales of norms 1."""
    with torch.no_grad():
        for i, (name, parameter) in enumerate(model.named_parameters()):
            if parameter.dim() > 1:
                edge = (3 / (parameter.numel() / parameter.shape[0])) ** 0.5
                parameter.copy_(torch.from_numpy(uniform(tuple(parameter.shape), i, -edge, edge)))
            elif name.endswith("bias"):
                parameter.zero_()


def resnet20(torch: Any) -> Step:
    """He et al. (2015) for 32 x 32 images, with shortcuts of 1 x 1 convolutions."""
    nn = torch.nn

    def conv(channels: int, out: int, size: int, stride: int = 1) -> Any:
        layers = [nn.Conv2d(channels, out, size, stride, size // 2, bias=False)]
        return nn.Sequential(*layers, nn.BatchNorm2d(out))

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, channels: int, out: int, stride: int) -> None:
            super().__init__()
            self.first, self.second = conv(channels, out, 3, stride), conv(out, out, 3)
            same = stride == 1 and channels == out
            self.shortcut = nn.Identity() if same else conv(channels, out, 1, stride)
            self.relu = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.second(self.relu(self.first(x))) + self.shortcut(x))

    widths = [16, *[16] * 3, *[32] * 3, *[64] * 3]
    blocks = [Block(a, b, 1 if a == b else 2) for a, b in pairwise(widths)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    model = nn.Sequential(conv(3, 16, 3), nn.ReLU(), *blocks, *head)
    fill(torch, model)
    x, y = tensor(torch, uniform((32, 3, 32, 32), 1)), tensor(torch, labels(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return train(model, nn.CrossEntropyLoss(), optimizer, x, y)


# Transforms ------------------------------------------------------------------------------------


def pure_mlp(torch: Any, sizes: tuple[int, ...], activation: Any) -> tuple[Any, Any]:
    """Parameters, and the network as a function of them and of one input."""
    params = [(tensor(torch, weight), tensor(torch, bias)) for weight, bias in layers(sizes)]
    linear = torch.nn.functional.linear

    def forward(each: Any, x: Any) -> Any:
        for weight, bias in each[:-1]:
            x = activation(linear(x, weight, bias))
        return linear(x, *each[-1])

    return params, forward


def hessian(torch: Any) -> Step:
    params, forward = pure_mlp(torch, SMALL_MLP, torch.tanh)
    points = tensor(torch, uniform((64, 2), 1))
    every = torch.func.vmap(torch.func.hessian(lambda x: forward(params, x)[0]))
    return lambda: every(points)


def laplacian(torch: Any) -> Step:
    """By Taylor mode where the library has it, else as `laplacian_by_reverse`."""
    if not hasattr(torch.func, "laplacian"):
        return laplacian_by_reverse(torch)
    params, forward = pure_mlp(torch, SMALL_MLP, torch.tanh)
    points = tensor(torch, uniform((256, 2), 1))
    every = torch.func.vmap(torch.func.laplacian(lambda x: forward(params, x)[0]))
    return lambda: every(points)


def laplacian_by_nested_reverse(torch: Any) -> Step:
    """The trace of the Jacobian of the Jacobian, both by reverse mode."""
    params, forward = pure_mlp(torch, SMALL_MLP, torch.tanh)
    points = tensor(torch, uniform((256, 2), 1))
    func = torch.func

    def trace(x: Any) -> Any:
        return func.jacrev(func.jacrev(lambda v: forward(params, v)[0]))(x).trace()

    every = func.vmap(trace)
    return lambda: every(points)


def laplacian_by_reverse(torch: Any) -> Step:
    """Reverse mode through reverse mode, by each coordinate."""
    params, forward = pure_mlp(torch, SMALL_MLP, torch.tanh)
    points = tensor(torch, uniform((256, 2), 1)).requires_grad_()
    grad = torch.autograd.grad

    def step() -> Any:
        slope = grad(forward(params, points).sum(), points, create_graph=True)[0]
        xx = grad(slope[:, 0].sum(), points, retain_graph=True)[0][:, 0]
        yy = grad(slope[:, 1].sum(), points)[0][:, 1]
        return xx + yy

    return step


def per_sample(torch: Any) -> Step:
    """One gradient of all weights for each of 64 samples."""
    params, forward = pure_mlp(torch, SAMPLE_MLP, torch.relu)
    x, target = tensor(torch, uniform((64, 64), 1)), tensor(torch, labels(64, 10))

    def loss(each: Any, sample: Any, label: Any) -> Any:
        return torch.nn.functional.cross_entropy(forward(each, sample), label)

    every = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    return lambda: every(params, x, target)[0][0]


def scalar_chain(torch: Any) -> Step:
    x = torch.tensor(0.5, requires_grad=True)
    factor = torch.tensor(0.5)

    def step() -> Any:
        x.grad = None
        y = x
        for _ in range(CHAIN):
            y = y * factor + x
        y.backward()
        return x.grad

    return step


def custom_function(torch: Any) -> Step:
    class Square(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * grad * x

    x = torch.tensor(0.5, requires_grad=True)

    def step() -> Any:
        for _ in range(CALLS):
            x.grad = None
            Square.apply(x).backward()
        return x.grad

    return step


def add(needs_grad: bool) -> Callable[[Any], Step]:
    def build(torch: Any) -> Step:
        a = torch.tensor([1.0], requires_grad=needs_grad)
        b = torch.tensor([2.0], requires_grad=needs_grad)

        def step() -> Any:
            for _ in range(CALLS):
                c = a + b
            return c

        return step

    return build


def exp_tanh(torch: Any) -> Step:
    x = tensor(torch, uniform(BIG, 1)).requires_grad_()
    b = tensor(torch, uniform(BIG[1:], 2)).requires_grad_()

    def step() -> Any:
        x.grad = b.grad = None
        loss = torch.exp(torch.tanh(x + b) * x).mean()
        loss.backward()
        return loss

    return step


def cross_entropy(torch: Any) -> Step:
    logits = tensor(torch, uniform(BIG, 1)).requires_grad_()
    target = tensor(torch, labels(*BIG))
    criterion = torch.nn.CrossEntropyLoss()

    def step() -> Any:
        logits.grad = None
        loss = criterion(logits, target)
        loss.backward()
        return loss

    return step


def adam(fused: bool) -> Callable[[Any], Step]:
    """One optimizer step with given gradients. PyTorch's fused form must be asked for; ours has no
    other."""

    def build(torch: Any) -> Step:
        options = {"fused": True} if fused and torch.__name__ == "torch" else {}
        shape = (ADAM_SIDE, ADAM_SIDE)
        tensors = [tensor(torch, uniform(shape, i)).requires_grad_() for i in range(ADAM_TENSORS)]
        for i, parameter in enumerate(tensors):
            parameter.grad = tensor(torch, uniform(shape, 50 + i))
        optimizer = torch.optim.Adam(tensors, lr=1e-3, **options)

        def step() -> Any:
            optimizer.step()
            return tensors[0]

        return step

    return build


def unary(name: str, shape: tuple[int, ...]) -> Callable[[Any], Step]:
    def build(torch: Any) -> Step:
        function = torch.nn.functional.gelu if name == "gelu" else getattr(torch, name)
        x = tensor(torch, uniform(shape, 1, -2.0, 3.0))
        return lambda: function(x)

    return build


def matmul(side: int, double: bool) -> Callable[[Any], Step]:
    def build(torch: Any) -> Step:
        kind = torch.float64 if double else torch.float32
        a = tensor(torch, uniform((side, side), 1, 0.0)).to(kind)
        b = tensor(torch, uniform((side, side), 2, 0.0)).to(kind)
        return lambda: a @ b

    return build


# The rows ----------------------------------------------------------------------------------------

AHEAD = {"torch": 1.0, "jax": 1.0}
TWICE = {"torch": 2.0, "jax": 2.0}
UNARY_TARGETS = {
    "exp": (2.0, 2.0),
    "tanh": (4.0, 4.0),
    "gelu": (1.3, 1.3),
    "sigmoid": (1.5, 1.1),
}
BIG_BYTES = 4.0 * BIG[0] * BIG[1]
ADAM_BYTES = 7 * 4.0 * ADAM_TENSORS * ADAM_SIDE**2  # reads p, g, m, v; writes p, m, v


def rows() -> list[Workload]:
    result = [
        Workload(
            "function",
            "autograd.Function, scalar, fwd + bwd",
            custom_function,
            "calls",
            {"torch": 3.0},
            calls=CALLS,
        ),
        Workload("add", "a + b, one element", add(False), "calls", {"torch": 5.0}, calls=CALLS),
        Workload(
            "add-grad", "a + b, one element, grad", add(True), "calls", {"torch": 5.0}, calls=CALLS
        ),
        Workload(
            "scalar-chain", "2000 scalar ops, fwd + bwd", scalar_chain, "calls", {"torch": 8.0}
        ),
        Workload(
            "one-sample",
            "MLP 4-32-3, 1 sample, no grad",
            one_sample,
            "calls",
            {"torch": 4.0, "jax": 2.0},
        ),
        Workload(
            "mlp-relu",
            "MLP 4-32-3, batch 32, SGD",
            relu_mlp,
            "calls",
            TWICE,
            mlp_flops(RELU_MLP, 32),
        ),
        Workload(
            "mlp-tanh",
            "MLP 2-64-64-1, batch 64, Adam",
            tanh_mlp,
            "calls",
            {"torch": 7.0, "jax": 1.0},
            mlp_flops(TANH_MLP, 64),
        ),
        Workload("pinn", "PINN 2-32-32-32-1, batch 256", pinn, "calls", {"torch": 3.0, "jax": 2.0}),
        Workload("hessian", "Hessian, MLP 2-32-32-1, 64 points", hessian, "calls", {"torch": 5.0}),
        Workload("laplacian", "Laplacian by Taylor mode, 256 points", laplacian, "calls"),
        Workload(
            "laplacian-nested",
            "Laplacian by jacrev(jacrev)",
            laplacian_by_nested_reverse,
            "calls",
        ),
        Workload("laplacian-reverse", "Laplacian by reverse twice", laplacian_by_reverse, "calls"),
        Workload("per-sample", "64 gradients, MLP 64-128-10", per_sample, "memory", {"torch": 3.0}),
        Workload(
            "mlp-image",
            "MLP 784-512-256-10, batch 128, Adam",
            image_mlp,
            "matmul",
            {"torch": 2.2, "jax": 1.0},
            mlp_flops(IMAGE_MLP, 128),
        ),
        Workload(
            "lstm",
            "LSTM 64-256, batch 32, 60 steps",
            recurrent("LSTM"),
            "matmul",
            {"torch": 1.15},
            recurrent_flops(4),
        ),
        Workload(
            "gru",
            "GRU 64-256, batch 32, 60 steps",
            recurrent("GRU"),
            "matmul",
            {"torch": 1.5},
            recurrent_flops(3),
        ),
        Workload(
            "mlp-wide",
            "MLP 1024-2048-2048-1024, batch 512",
            wide_mlp,
            "matmul",
            AHEAD,
            mlp_flops(WIDE_MLP, 512),
        ),
        Workload(
            "lenet",
            "LeNet 28 x 28, batch 64, Adam",
            lenet,
            "convolution",
            {"torch": 1.8},
            conv_flops(LENET_CONVOLUTIONS, 64) + mlp_flops((9216, 128, 10), 64),
        ),
        Workload(
            "resnet20",
            "ResNet-20 32 x 32, batch 32, SGD",
            resnet20,
            "convolution",
            {"torch": 1.4},
            conv_flops(RESNET20_CONVOLUTIONS, 32),
        ),
        Workload(
            "gpt",
            "GPT 4 x 128, 8 x 128 tokens, AdamW",
            gpt,
            "matmul",
            {"torch": 1.6},
            gpt_flops(),
        ),
        Workload(
            "exp-tanh",
            "exp(tanh(x+b)*x).mean(), 4M, grad",
            exp_tanh,
            "memory",
            AHEAD,
            traffic=3 * BIG_BYTES,
        ),
        Workload(
            "cross-entropy",
            "cross-entropy 4096x1024, grad",
            cross_entropy,
            "memory",
            {"torch": 1.8},
            traffic=3 * BIG_BYTES,
        ),
        Workload(
            "adam", "Adam, 10.5M parameters", adam(False), "memory", AHEAD, traffic=ADAM_BYTES
        ),
        Workload(
            "adam-fused",
            "Adam, 10.5M, torch fused=True",
            adam(True),
            "memory",
            AHEAD,
            traffic=ADAM_BYTES,
        ),
    ]
    for name, (small, large) in UNARY_TARGETS.items():
        result += [
            Workload(
                f"{name}-4k",
                f"{name}, 4096 elements",
                unary(name, (4096,)),
                "math",
                {"torch": small},
            ),
            Workload(
                f"{name}-4m",
                f"{name}, 4M elements",
                unary(name, BIG),
                "math",
                {"torch": large},
                traffic=2 * BIG_BYTES,
            ),
        ]
    for double, kind, least in ((False, "f32", 1.8), (True, "f64", 1.0)):
        for side in (512, 1024):
            result.append(
                Workload(
                    f"matmul-{kind}-{side}",
                    f"matmul {kind}, {side} x {side}",
                    matmul(side, double),
                    "matmul",
                    {"torch": least},
                    flops=2.0 * side**3,
                    double=double,
                )
            )
    return result


WORKLOADS: dict[str, Workload] = {row.name: row for row in rows()}
