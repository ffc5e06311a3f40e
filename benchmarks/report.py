"""The results of a run, the targets they are held against, and the tables that show both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workloads import WORKLOADS, Workload

OURS = "tapegrad"
TOLERANCE = 2e-3  # relative: float32 and three training steps
CACHED_BYTES = 1e8  # traffic above this is held against the bandwidth of memory
IMPORT_SECONDS = 0.060
SIZE_BYTES = 80e6
SCALING = {
    "matmul": 1.6
}  # least speed-up by a second thread; 1 for all that is not bound by arithmetic
NOISE = 0.95  # two threads count as "no slower" from here: runs of the same code differ by as much


@dataclass
class Result:
    workload: str
    peer: str
    threads: int
    best: float = 0.0
    median: float = 0.0
    samples: int = 0
    value: float = 0.0
    error: str | None = None


@dataclass
class Run:
    machine: dict[str, Any]
    peers: list[str]
    threads: list[int]
    versions: dict[str, Any] = field(default_factory=dict)
    limits: dict[int, dict[str, float]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    footprint: dict[str, dict[str, Any]] = field(default_factory=dict)

    def at(self, workload: str, peer: str, threads: int) -> Result | None:
        """The result of one cell, if it was measured without an error."""
        for result in self.results:
            if (result.workload, result.peer, result.threads) == (workload, peer, threads):
                return result if result.best else None
        return None

    def ratio(self, workload: str, peer: str, threads: int) -> float | None:
        """How many times longer the peer takes than we do."""
        ours, theirs = self.at(workload, OURS, threads), self.at(workload, peer, threads)
        return theirs.best / ours.best if ours and theirs else None


@dataclass
class Verdict:
    what: str
    measured: float
    asked: float
    met: bool


def arithmetic(workload: Workload) -> str:
    return "flops_f64" if workload.double else "flops_f32"


def traffic(workload: Workload) -> str:
    return "memory" if workload.traffic > CACHED_BYTES else "cached"


def floor(workload: Workload, limits: dict[str, float]) -> float:
    """The least time that the machine allows: arithmetic or traffic at the full rate."""
    rate = limits[arithmetic(workload)]
    return max(workload.flops / rate if rate else 0.0, workload.traffic / limits[traffic(workload)])


def verdicts(run: Run) -> list[Verdict]:
    """Ratios to the peers hold on one thread; more threads are held against one."""
    found = []
    measured = {result.workload for result in run.results}
    for workload in (WORKLOADS[name] for name in WORKLOADS if name in measured):
        for peer, asked in workload.targets.items():
            ratio = run.ratio(workload.name, peer, 1)
            if ratio is not None:
                met = ratio >= asked and not wrong(run, workload.name, 1)
                found.append(Verdict(f"{workload.name}, {peer} / {OURS}", ratio, asked, met))
            elif OURS in run.peers and run.at(workload.name, peer, 1):
                found.append(
                    Verdict(f"{workload.name}, {peer} / {OURS} (failed)", 0.0, asked, False)
                )
        speedup = scaling(run, workload)
        if speedup is not None:
            asked = SCALING.get(workload.bound, 1.0)
            met = speedup >= (asked if asked > 1 else NOISE)
            found.append(Verdict(f"{workload.name}, 1 / 2 threads", speedup, asked, met))
    cost = run.footprint.get(OURS)
    if cost:
        seconds, size = cost["import_best"], cost["sizes"].get("own", 0)
        found.append(Verdict("import, seconds", seconds, IMPORT_SECONDS, seconds <= IMPORT_SECONDS))
        if size:
            found.append(Verdict("installed bytes", size, SIZE_BYTES, size <= SIZE_BYTES))
    return found


def scaling(run: Run, workload: Workload, peer: str = OURS) -> float | None:
    one, two = run.at(workload.name, peer, 1), run.at(workload.name, peer, 2)
    return one.best / two.best if one and two else None


def differ(one: Result, other: Result) -> bool:
    return not abs(one.value - other.value) <= TOLERANCE * max(abs(one.value), 1e-3)  # NaN differs


def wrong(run: Run, workload: str, threads: int) -> bool:
    """Whether our value differs from that of any peer."""
    cells = [run.at(workload, peer, threads) for peer in run.peers]
    ours = run.at(workload, OURS, threads)
    return ours is not None and any(cell and differ(ours, cell) for cell in cells)


def disagreements(results: list[Result]) -> list[str]:
    """Peers whose value differs from the first peer's: a faster wrong answer is no answer."""
    good = [result for result in results if result.best]
    return [
        f"{other.workload}: {other.peer} finds {other.value:.6g}, not {good[0].value:.6g}"
        for other in good[1:]
        if differ(good[0], other)
    ]


def duration(seconds: float) -> str:
    for unit, scale in (("s ", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def print_table(run: Run, threads: int) -> None:
    limits = run.limits[threads]
    rates = (
        f"float32 {limits['flops_f32'] / 1e9:.0f} GFLOP/s, float64 {limits['flops_f64'] / 1e9:.0f}"
        f", {limits['cached'] / 1e9:.0f} GB/s over 32 MB, {limits['memory'] / 1e9:.0f} over 256 MB"
    )
    others = [peer for peer in run.peers if peer != OURS and OURS in run.peers]
    heads = [f"{peer:>10}" for peer in run.peers]
    heads += [f"{peer + '/ours':>11}" for peer in others]
    print(f"\nThreads: {threads}. Limits measured: {rates}.")
    print(f"{'workload':<36}" + "".join(heads) + f"{'limit':>10}{'share':>7}  target")
    notes: list[str] = []
    for workload in WORKLOADS.values():
        results = [r for r in run.results if (r.workload, r.threads) == (workload.name, threads)]
        if not results:
            continue
        notes += [f"{r.workload}: {r.peer} failed: {r.error}" for r in results if r.error]
        notes += disagreements(results)
        print(row(run, workload, threads, others, floor(workload, limits)))
    for note in notes:
        print(f"  ! {note}")


def row(run: Run, workload: Workload, threads: int, others: list[str], least: float) -> str:
    cells = {peer: run.at(workload.name, peer, threads) for peer in run.peers}
    line = f"{workload.title:<36}"
    for cell in cells.values():
        line += f"{duration(cell.best) if cell else '-':>10}"
    marks = []
    for peer in others:
        ratio = run.ratio(workload.name, peer, threads)
        line += f"{f'{ratio:.2f}' if ratio else '-':>11}"
        asked = workload.targets.get(peer)
        if ratio and asked and threads == 1:
            met = ratio >= asked and not wrong(run, workload.name, threads)
            theirs = cells[peer]
            within = theirs.best / least if least and theirs else asked
            out_of_reach = f" (the limit allows {within:.2f})" if within < asked else ""
            marks.append(f"{peer} {asked:g} {'pass' if met else 'FAIL'}{out_of_reach}")
    first = next((cell for cell in cells.values() if cell), None)
    share = f"{least / first.best:.0%}" if least and first else "-"
    return line + f"{duration(least) if least else '-':>10}{share:>7}  {', '.join(marks)}"


def print_scaling(run: Run) -> None:
    if not {1, 2} <= set(run.threads):
        return
    print("\nTwo threads: how many times faster than one.")
    print(f"{'workload':<36}" + "".join(f"{peer:>10}" for peer in run.peers))
    for workload in WORKLOADS.values():
        factors = [scaling(run, workload, peer) for peer in run.peers]
        if any(factors):
            cells = "".join(f"{f'{factor:.2f}' if factor else '-':>10}" for factor in factors)
            print(f"{workload.title:<36}{cells}")


def print_footprint(run: Run) -> None:
    if not run.footprint:
        return
    print(f"\n{'':<36}" + "".join(f"{peer:>10}" for peer in run.footprint))
    costs = list(run.footprint.values())
    print(f"{'import, warm':<36}" + "".join(f"{duration(c['import_best']):>10}" for c in costs))
    for key, title in (("own", "installed size"), ("with_requirements", "with all it requires")):
        cells = [f"{c['sizes'][key] / 1e6:.0f} MB" if c["sizes"] else "-" for c in costs]
        print(f"{title:<36}" + "".join(f"{cell:>10}" for cell in cells))
