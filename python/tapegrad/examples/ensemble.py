"""A thousand networks at once: ``python -m tapegrad.examples.ensemble``.

Small networks with different first weights learn a noisy curve together: their parameters are
stacked, ``vmap`` runs the one network over all of them, and one optimizer step updates them all.
The spread of their answers tells where the data say little.
"""

from __future__ import annotations

import argparse
import math
import time

import tapegrad as tg
from tapegrad import nn
from tapegrad.examples import _training
from tapegrad.func import functional_call, stack_module_state, vmap


def network() -> nn.Sequential:
    """One member: 1-16-16-1."""
    return nn.Sequential(
        nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)
    )


def curve(x: tg.Tensor) -> tg.Tensor:
    """What the data follow: a sine on [-2, 2]."""
    return tg.sin(2 * x)


def main(arguments: list[str] | None = None) -> int:
    """Run the example; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tapegrad.examples.ensemble", description=__doc__)
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.networks < 2 or options.steps < 1:
        parser.error("--networks must be at least 2, --steps at least 1")
    tg.manual_seed(options.seed)
    x = tg.rand(64, 1) * 4 - 2
    y = curve(x) + 0.1 * tg.randn(64, 1)
    model = network()
    parameters, _ = stack_module_state([network() for _ in range(options.networks)])
    forward = vmap(lambda p, inputs: functional_call(model, p, inputs), in_dims=(0, None))
    optimizer = tg.optim.Adam(parameters.values(), lr=1e-2)
    start = time.perf_counter()
    for step in range(1, options.steps + 1):
        optimizer.zero_grad()
        # The members do not share weights: the gradient of the sum is each one's own.
        loss = (forward(parameters, x) - y).square().mean((1, 2)).sum()
        loss.backward()
        optimizer.step()
        if step % max(1, options.steps // 5) == 0:
            print(f"step {step:4}/{options.steps}  mean loss {loss.item() / options.networks:.4f}")
    seconds = time.perf_counter() - start
    with tg.no_grad():
        inside, outside = tg.linspace(-2, 2, 101).unsqueeze(1), tg.linspace(3, 5, 101).unsqueeze(1)
        answers = forward(parameters, inside)
        error = math.sqrt(float((answers.mean(0) - curve(inside)).square().mean()))
        spread = [float(forward(parameters, z).std(0).mean()) for z in (inside, outside)]
    print(
        f"{options.networks} networks, {options.steps} steps in {seconds:.2f} s; spread "
        f"{spread[0]:.3f} on the data, {spread[1]:.3f} outside"
    )
    print(f"error of the mean of the networks: {error:.4f}")
    return 0


if __name__ == "__main__":
    _training.run(main)
