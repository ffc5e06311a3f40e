"""A line search that meets the strong Wolfe conditions (Nocedal and Wright, algorithm 3.5)."""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NamedTuple

    from tapegrad._C import Tensor

    Along = Callable[[float], tuple[float, Tensor]]

    class Point(NamedTuple):
        """A point on the line: step size, loss, gradient, slope along the line."""

        t: float
        f: float
        g: Tensor
        slope: float
else:
    from collections import namedtuple

    Point = namedtuple("Point", ["t", "f", "g", "slope"])

__all__ = ["cubic_minimum", "strong_wolfe"]


def cubic_minimum(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through losses and slopes at ``a`` and ``b`` is least, within ``bounds``.

    Without ``bounds`` these are the points; without a minimum it is their middle.
    """
    low, high = bounds or (min(a.t, b.t), max(a.t, b.t))
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    d2 = math.sqrt(square)
    if a.t > b.t:
        a, b = b, a
    denominator = b.slope - a.slope + 2 * d2
    if denominator == 0:
        return (low + high) / 2.0
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / denominator)
    return min(max(t, low), high)


class _Line:
    """The loss along a direction, and the two conditions on a point of it."""

    def __init__(self, along: Along, direction: Tensor, start: Point, c1: float, c2: float) -> None:
        self.along, self.direction, self.start = along, direction, start
        self.c1, self.c2 = c1, c2
        self.evaluations = 0

    def at(self, size: float) -> Point:
        self.evaluations += 1
        loss, grad = self.along(size)
        return Point(size, loss, grad, float(grad.dot(self.direction)))

    def too_high(self, point: Point) -> bool:
        return point.f > self.start.f + self.c1 * point.t * self.start.slope

    def flat(self, point: Point) -> bool:
        return abs(point.slope) <= -self.c2 * self.start.slope


def strong_wolfe(
    along: Along,
    t: float,
    direction: Tensor,
    f: float,
    g: Tensor,
    slope: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
    max_ls: int = 25,
) -> tuple[float, Tensor, float, int]:
    """Look for a step size from ``t`` on; returns (loss, gradient, size, evaluations).

    ``along(t)`` is the loss and gradient at size t; ``f``, ``g`` and ``slope`` are those at 0. At
    most about ``max_ls`` evaluations; the best point is returned where they do not suffice.
    """
    line = _Line(along, direction, Point(0.0, f, g, slope), c1, c2)
    bracket = _bracket(line, t, max_ls)
    best = bracket[0]
    if len(bracket) == 2:
        best = _narrow(line, bracket, tolerance_change / float(direction.abs().max()), max_ls)
    return best.f, best.g, best.t, line.evaluations


def _bracket(line: _Line, t: float, max_ls: int) -> list[Point]:
    """Go on from ``t`` until a minimum lies between two points; one point if that will do."""
    previous, point = line.start, line.at(t)
    for iteration in range(max_ls):
        if line.too_high(point) or (iteration > 1 and point.f >= previous.f):
            return [previous, point]
        if line.flat(point):
            return [point]
        if point.slope >= 0:
            return [previous, point]
        bounds = (point.t + 0.01 * (point.t - previous.t), point.t * 10)
        size = cubic_minimum(previous, point, bounds)
        previous, point = point, line.at(size)
    return [line.start, point]


def _narrow(line: _Line, bracket: list[Point], least: float, max_ls: int) -> Point:
    """Close the bracket around a point that meets both conditions; returns its better end."""
    stalled = False
    low = 0 if bracket[0].f <= bracket[1].f else 1
    while line.evaluations <= max_ls:
        left, right = min(p.t for p in bracket), max(p.t for p in bracket)
        if right - left < least:
            break
        size = cubic_minimum(bracket[0], bracket[1])
        margin = 0.1 * (right - left)
        if min(right - size, size - left) < margin:
            # Near an end: once is chance, twice means that the cubic does not help.
            if stalled or size >= right or size <= left:
                size = right - margin if abs(size - right) < abs(size - left) else left + margin
                stalled = False
            else:
                stalled = True
        else:
            stalled = False
        point = line.at(size)
        if line.too_high(point) or point.f >= bracket[low].f:
            bracket[1 - low] = point
            low = 0 if bracket[0].f <= bracket[1].f else 1
            continue
        if line.flat(point):
            return point
        if point.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = point
    return bracket[low]
