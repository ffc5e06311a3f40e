"""Gradients of single samples: ``python -m tapegrad.examples.per_sample``.

A loss over a batch has one gradient; which samples pull the weights where, needs one gradient for
each of them (gradient norms, outliers, private training). ``vmap`` of ``grad`` computes them all
at once, here for a network of linear layers and for a small convolutional one, and compares them
with a loop over the samples.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import tapegrad as tg
from tapegrad import nn
from tapegrad.examples import _training
from tapegrad.func import functional_call, grad, vmap

if TYPE_CHECKING:
    from collections.abc import Callable

F = nn.functional
Parameters = dict[str, tg.Tensor]


def networks() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """The networks by name, with the shape of one sample."""
    dense = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    convolutional = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3),
        nn.ReLU(),
        nn.Flatten(0),
        nn.Linear(16 * 4 * 4, 10),
    )
    return {"MLP 64-128-10": (dense, (64,)), "two convolutions": (convolutional, (1, 8, 8))}


def sample_gradients(model: nn.Module) -> Callable[[Parameters, tg.Tensor, tg.Tensor], Parameters]:
    """Gradients of the loss of each sample by all parameters: the one line."""

    def loss(parameters: Parameters, image: tg.Tensor, label: tg.Tensor) -> tg.Tensor:
        return F.cross_entropy(functional_call(model, parameters, image), label)

    return vmap(grad(loss), in_dims=(None, 0, 0))


def by_loop(model: nn.Module, images: tg.Tensor, labels: tg.Tensor) -> Parameters:
    """The same, one backward pass after the other."""
    parts: list[Parameters] = []
    for image, label in zip(images, labels, strict=True):
        model.zero_grad()
        F.cross_entropy(model(image), label).backward()
        parts.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    return {name: tg.stack([part[name] for part in parts]) for name in parts[0]}


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the seconds of the faster of two calls."""
    best = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return result, best


def main(arguments: list[str] | None = None) -> int:
    """Run the example; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tapegrad.examples.per_sample", description=__doc__)
    parser.add_argument("--samples", type=int, default=256, help="images in the batch")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.samples < 1:
        parser.error("--samples must be at least 1")
    tg.manual_seed(options.seed)
    labels = tg.randint(0, 10, (options.samples,))
    # Images with a bright row that tells the label; the last one is mislabelled.
    images = tg.randn(options.samples, 8, 8) * 0.1
    images[tg.arange(options.samples), labels % 8] += 1
    labels[-1] = (labels[-1] + 5) % 10
    worst = 0.0
    for name, (model, shape) in networks().items():
        x = images.reshape(options.samples, *shape)
        parameters = {key: p.detach() for key, p in model.named_parameters()}
        batched = sample_gradients(model)
        gradients, together = timed(partial(batched, parameters, x, labels))
        reference, one_by_one = timed(partial(by_loop, model, x, labels))
        worst = max(worst, *(float((gradients[k] - reference[k]).abs().max()) for k in reference))
        norms = sum(g.flatten(1).square().sum(1) for g in gradients.values()).sqrt()
        print(
            f"{name}: {options.samples} gradients in {1e3 * together:.2f} ms, by a loop in "
            f"{1e3 * one_by_one:.2f} ms; norms {float(norms.min()):.3f} to {float(norms.max()):.3f}"
        )
    print(f"largest difference from the loop: {worst:.1e}")
    return 0


if __name__ == "__main__":
    _training.run(main)
