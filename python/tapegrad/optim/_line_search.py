"""A line search that meets the strong Wolfe conditions (Nocedal and Wright, algorithm 3.5)."""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NamedTuple

    from tapegrad._C import Tensor

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


def strong_wolfe(
    along: Callable[[float], tuple[float, Tensor]],
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

    ``along(t)`` is the loss and gradient at size t; ``f``, ``g`` and ``slope`` are those at 0.
    """
    evaluations = 0

    def at(size: float) -> Point:
        nonlocal evaluations
        evaluations += 1
        loss, grad = along(size)
        return Point(size, loss, grad, float(grad.dot(direction)))

    start = Point(0.0, f, g, slope)

    def too_high(point: Point) -> bool:
        return point.f > f + c1 * point.t * slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -c2 * slope

    # Go on until a minimum is bracketed.
    previous, point = start, at(t)
    bracket: list[Point] | None = None
    iteration = 0
    while iteration < max_ls:
        if too_high(point) or (iteration > 1 and point.f >= previous.f):
            bracket = [previous, point]
            break
        if flat(point):
            return point.f, point.g, point.t, evaluations
        if point.slope >= 0:
            bracket = [previous, point]
            break
        bounds = (point.t + 0.01 * (point.t - previous.t), point.t * 10)
        size = cubic_minimum(previous, point, bounds)
        previous, point = point, at(size)
        iteration += 1
    if bracket is None:
        bracket = [start, point]

    # Narrow it down.
    size_of_direction = float(direction.abs().max())
    stalled = False
    low = 0 if bracket[0].f <= bracket[1].f else 1
    while iteration < max_ls:
        left, right = min(p.t for p in bracket), max(p.t for p in bracket)
        if (right - left) * size_of_direction < tolerance_change:
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
        point = at(size)
        iteration += 1
        if too_high(point) or point.f >= bracket[low].f:
            bracket[1 - low] = point
            low = 0 if bracket[0].f <= bracket[1].f else 1
            continue
        if flat(point):
            bracket[low] = point
            break
        if point.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = point
    best = bracket[low]
    return best.f, best.g, best.t, evaluations
