"""Differential equations without a mesh: ``python -m tapegrad.examples.pinn``.

Two networks learn functions from nothing but the equations that these solve, at random points
(Raissi, Perdikaris and Karniadakis, https://arxiv.org/abs/1711.10561):

* Poisson: u_xx + u_yy = f on the unit square, u = 0 at its border; f is chosen so that
  u = sin(2 pi x) sin(pi y).
* Burgers: u_t + u u_x = (0.01 / pi) u_xx on [-1, 1], u = -sin(pi x) at t = 0, u = 0 at the ends:
  a wave that steepens into a shock. The exact solution is an integral (Cole and Hopf).

Border and initial values are met exactly, by construction, and Burgers' solution is odd in x as its
beginning is. First and second derivatives of the networks come from one forward pass with Taylor
coefficients (``func.taylor``). Writes ``pinn.png``.
"""

from __future__ import annotations

import argparse
import math
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import tapegrad as tg
from tapegrad import nn
from tapegrad._extras import require
from tapegrad.examples import _training
from tapegrad.func import taylor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VISCOSITY = 0.01 / math.pi
STEPS_A_ROUND = 25


class Field(nn.Module):
    """A function of two coordinates: tanh layers, in double precision as L-BFGS likes it."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        widths = [2, *[width] * depth]
        self.hidden = nn.ModuleList(nn.Linear(a, b, dtype=tg.float64) for a, b in pairwise(widths))
        self.last = nn.Linear(width, 1, dtype=tg.float64)
        for layer in (*self.hidden, self.last):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
        """Values at the points (a, b), all columns of one number a row."""
        h = tg.cat([a, b], 1)
        for layer in self.hidden:
            h = layer(h).tanh()
        value: tg.Tensor = self.last(h)
        return value


class Poisson:
    """The equation on the unit square."""

    name, axes = "Poisson", ("x", "y")
    low, high = (0.0, 0.0), (1.0, 1.0)

    def __init__(self, field: Field) -> None:
        self.field = field

    def __call__(self, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        """The network times a function that is 0 at the border."""
        value: tg.Tensor = 16 * x * (1 - x) * y * (1 - y) * self.field(x, y)
        return value

    def residual(self, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        """What the equation leaves over, divided by the size of f."""
        one = tg.ones_like(x)
        _, (_, u_xx) = taylor(lambda x: self(x, y), (x,), (one,), order=2)
        _, (_, u_yy) = taylor(lambda y: self(x, y), (y,), (one,), order=2)
        force = -5 * math.pi**2 * self.exact(x, y)
        rest: tg.Tensor = (u_xx + u_yy - force) / (5 * math.pi**2)
        return rest

    def exact(self, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        """The solution."""
        return tg.sin(2 * math.pi * x) * tg.sin(math.pi * y)


class Burgers:
    """The equation in time and space."""

    name, axes = "Burgers", ("t", "x")
    low, high = (0.0, -1.0), (1.0, 1.0)

    def __init__(self, field: Field) -> None:
        self.field = field

    def __call__(self, t: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
        """The first values, fading away, and the odd part of the network, growing from 0."""
        odd = self.field(2 * t - 1, x) - self.field(2 * t - 1, -x)
        value: tg.Tensor = tg.tanh(4 * t) * (1 - x * x) * odd
        return value - tg.exp(-4 * t) * tg.sin(math.pi * x)

    def residual(self, t: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
        """What the equation leaves over."""
        one = tg.ones_like(x)
        u, (u_x, u_xx) = taylor(lambda x: self(t, x), (x,), (one,), order=2)
        _, (u_t,) = taylor(lambda t: self(t, x), (t,), (one,), order=1)
        rest: tg.Tensor = u_t + u * u_x - VISCOSITY * u_xx
        return rest

    def exact(self, t: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
        """The solution, by Gauss-Hermite quadrature of the formula of Cole and Hopf."""
        import numpy as np

        nodes, weights = np.polynomial.hermite.hermgauss(100)
        points = x - (4 * VISCOSITY * t).sqrt() * tg.tensor(nodes)
        # 1 / (2 pi viscosity) is 50: less the largest value, so that nothing overflows.
        heat = tg.tensor(weights) * tg.exp(
            -(tg.cos(math.pi * points) + 1) / (2 * math.pi * VISCOSITY)
        )
        top = (tg.sin(math.pi * points) * heat).sum(1, keepdim=True)
        return -top / heat.sum(1, keepdim=True)


def points(problem: Poisson | Burgers, count: int) -> tuple[tg.Tensor, tg.Tensor]:
    """Random points of the domain."""
    columns = [
        low + (high - low) * tg.rand(count, 1, dtype=tg.float64)
        for low, high in zip(problem.low, problem.high, strict=True)
    ]
    return columns[0], columns[1]


def solve(problem: Poisson | Burgers, count: int, rounds: int, tell: Callable[[], None]) -> float:
    """Make the residual small at random points; returns its mean square."""
    at = points(problem, count)
    optimizer = tg.optim.LBFGS(
        problem.field.parameters(),
        max_iter=STEPS_A_ROUND,
        history_size=50,
        tolerance_grad=1e-12,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure() -> tg.Tensor:
        optimizer.zero_grad()
        loss = problem.residual(*at).square().mean()
        loss.backward()
        return loss

    for _ in range(rounds):
        loss = optimizer.step(closure)
        tell()
    return float(loss)


def on_grid(problem: Poisson | Burgers, size: int) -> tuple[tg.Tensor, tg.Tensor]:
    """What the network and the formula give on a grid of ``size`` by ``size`` points."""
    axes = [
        tg.linspace(low, high, size, dtype=tg.float64)
        for low, high in zip(problem.low, problem.high, strict=True)
    ]
    first, second = (axis.reshape(-1, 1) for axis in tg.meshgrid(*axes, indexing="ij"))
    with tg.no_grad():
        found, exact = problem(first, second), problem.exact(first, second)
    return found.reshape(size, size), exact.reshape(size, size)


def picture(results: list[tuple[Any, tg.Tensor, tg.Tensor]], path: Path) -> None:
    """Network, formula and their difference, a row for each problem."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2 * len(results)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(results), 3, squeeze=False)
    for row, (problem, found, exact) in zip(grid, results, strict=True):
        extent = (problem.low[0], problem.high[0], problem.low[1], problem.high[1])
        shown = {"network": found, "exact": exact, "difference": found - exact}
        for axis, (title, values) in zip(row, shown.items(), strict=True):
            image = axis.imshow(
                values.T.numpy(), origin="lower", extent=extent, aspect="auto", cmap="RdBu_r"
            )
            axis.set(title=f"{problem.name}: {title}", xlabel=problem.axes[0])
            axis.set_ylabel(problem.axes[1])
            figure.colorbar(image, ax=axis)
    figure.savefig(path, dpi=100)


def main(arguments: list[str] | None = None) -> int:
    """Run the example; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tapegrad.examples.pinn")
    parser.description = "Solve Poisson's and Burgers' equations with networks."
    parser.add_argument(
        "--rounds", type=_training.positive, default=60, help="of 25 steps of L-BFGS (60)"
    )
    parser.add_argument("--points", type=_training.positive, default=1000, help="random (1000)")
    _training.common_options(parser)
    options = parser.parse_args(arguments)
    require("examples", "numpy", "tqdm", "matplotlib")
    from tqdm import tqdm

    _training.prepare(options)
    results, errors = [], []
    for problem in (Poisson(Field(20, 2)), Burgers(Field(20, 4))):
        # Poisson's solution is smooth: a small network and a third of the rounds are enough.
        rounds = max(1, options.rounds // 3) if isinstance(problem, Poisson) else options.rounds
        start = time.perf_counter()
        with tqdm(total=rounds, desc=problem.name, unit="round", leave=False, disable=None) as bar:
            loss = solve(problem, options.points, rounds, bar.update)
        seconds = time.perf_counter() - start
        found, exact = on_grid(problem, 101)
        error = float((found - exact).norm() / exact.norm())
        errors.append(f"{problem.name} {error:.1e}")
        results.append((problem, found, exact))
        print(f"{problem.name}: {rounds} rounds in {seconds:.1f} s, mean square left {loss:.1e}")
    picture(results, options.out / "pinn.png")
    print(f"picture: {options.out / 'pinn.png'}")
    print(f"error against the exact solution (relative, L2): {', '.join(errors)}", flush=True)
    return 0


if __name__ == "__main__":
    _training.run(main)
