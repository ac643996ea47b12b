"""The result of a benchmark: medians, spread and ratios; a table and JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from resnext_dsl.bench.variants import BOTH, Conditions, Variant
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.foundation.units import TIME


class Spread(NamedTuple):
    """A median, and the quartiles around it."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """The median and quartiles of some values."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


class LeftOut(NamedTuple):
    """A variant or backend that was not timed, and the reason."""

    name: str
    reason: str


class Timed(NamedTuple):
    """A variant's times.

    Attributes:
        variant: The network, its backend and its layout.
        rounds: Seconds of each run, round by round.
        peak: Peak memory in bytes: on a CPU the resident memory of its process, on a GPU the memory that torch
            allocates.
        versions: Versions of the libraries that ran it.
        queued: On a GPU, seconds of one run among several queued runs, round by round.
    """

    variant: Variant
    rounds: tuple[tuple[float, ...], ...]
    peak: int
    versions: dict[str, str]
    queued: tuple[float, ...] = ()

    @property
    def latency(self) -> Spread:
        """Seconds of a run."""
        return spread([seconds for times in self.rounds for seconds in times])

    def ratio(self, other: Timed) -> Spread:
        """The time of a run divided by the other's, round by round."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return spread([statistics.median(ours) / statistics.median(theirs) for ours, theirs in pairs])


class Report(NamedTuple):
    """Times of several variants under the same conditions.

    Attributes:
        conditions: Device, type, batch, mode, threads and layout.
        machine: Processor, device, system and versions.
        timed: The variants; ratios are to the first of them.
        left_out: Variants and backends that were requested and not timed.
    """

    conditions: Conditions
    machine: dict[str, str]
    timed: tuple[Timed, ...]
    left_out: tuple[LeftOut, ...]

    def pairs(self) -> list[tuple[Timed, Timed]]:
        """Each variant of the spec with each of its peers on the same backend and in the same layout."""
        return [
            (one, other)
            for one in self.timed
            for other in self.timed
            if (one.variant.backend, one.variant.layout) == (other.variant.backend, other.variant.layout)
            and not one.variant.subject.peer
            and other.variant.subject.peer
        ]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON: times in seconds, memory in bytes."""
        return {
            "machine": self.machine | {"threads": self.conditions.threads, "versions": self.versions()},
            "conditions": self.conditions._asdict(),
            "variants": [self._row(timed) for timed in self.timed],
            "pairs": [
                {"name": one.variant.label, "against": other.variant.label, "ratio": one.ratio(other)._asdict()}
                for one, other in self.pairs()
            ],
            "left_out": [left._asdict() for left in self.left_out],
        }

    def versions(self) -> dict[str, str]:
        """The versions of all libraries that ran a variant."""
        return {name: version for timed in self.timed for name, version in timed.versions.items()}

    def _row(self, timed: Timed) -> dict[str, Any]:
        subject = timed.variant.subject
        latency = timed.latency
        return {
            "name": subject.name,
            "library": subject.library or "resnext-dsl",
            "form": None if subject.library else subject.form,
            "backend": timed.variant.backend,
            "layout": timed.variant.layout or None,
            "input": list(subject.shape),
            "latency": latency._asdict(),
            "throughput": self.conditions.batch / latency.median,
            "queued_throughput": self.conditions.batch / statistics.median(timed.queued) if timed.queued else None,
            "peak_memory": timed.peak,
            "ratio": timed.ratio(self.timed[0])._asdict(),
            "runs": sum(map(len, timed.rounds)),
            "rounds": [statistics.median(times) for times in timed.rounds],
            "versions": timed.versions,
        }


def print_report(report: Report) -> None:
    """Prints the table, and below it the machine and the conditions."""
    from rich import box
    from rich.table import Table

    from resnext_dsl.display.stage_table import print_rich

    table = Table(box=box.SIMPLE)
    for header in ("network", "backend", "layout"):
        table.add_column(header, overflow="fold")
    queued = ("per second, queued",) if _any_queued(report) else ()
    for header in ("latency", "half of the runs", "per second", *queued, "peak memory", "ratio", "half of the rounds"):
        table.add_column(header, justify="right")
    for timed in report.timed:
        table.add_row(*_cells(report, timed))
    print_rich(table, notes=notes(report))


def _any_queued(report: Report) -> bool:
    return any(timed.queued for timed in report.timed)


def _per_second(report: Report, timed: Timed) -> list[str]:
    """Samples a second; also those of queued runs if the table has a column for them."""
    figures = [f"{report.conditions.batch / timed.latency.median:.4g}"]
    if _any_queued(report):
        figures.append(f"{report.conditions.batch / statistics.median(timed.queued):.4g}" if timed.queued else "-")
    return figures


def _cells(report: Report, timed: Timed) -> list[str]:
    latency, ratio = timed.latency, timed.ratio(report.timed[0])
    return [
        timed.variant.subject.label,
        timed.variant.backend,
        timed.variant.layout or "-",
        TIME.show(latency.median),
        f"{TIME.show(latency.low)} to {TIME.show(latency.high)}",
        *_per_second(report, timed),
        f"{timed.peak / 1e6:,.0f} MB",
        f"{ratio.median:.3f}",
        f"{ratio.low:.3f} to {ratio.high:.3f}",
    ]


def _in_layout(report: Report, timed: Timed) -> str:
    return f", {timed.variant.layout}" if report.conditions.layout == BOTH and timed.variant.layout else ""


def notes(report: Report) -> list[str]:
    """The lines below the table: conditions, machine, versions, pairs, and variants that were not timed."""
    conditions, machine = report.conditions, report.machine
    versions = ", ".join(f"{name} {version}" for name, version in report.versions().items())
    rounds = len(report.timed[0].rounds)
    lines = [
        f"{conditions.mode}, batch {conditions.batch}, {conditions.dtype}, on {machine['device']}, "
        f"{conditions.threads} threads, {machine['system']}",
        f"{versions}, Python {machine['python']}, resnext-dsl {machine['resnext_dsl']}",
        *([machine["settings"]] if "settings" in machine else []),
        f"ratio: time over that of the first row, the median of {rounds} interleaved rounds; a process for each row",
    ]
    for one, other in report.pairs():
        ratio, name = one.ratio(other), f"{one.variant.label}{_in_layout(report, one)}"
        lines.append(
            f"{name}: {ratio.median:.3f} of the time of {other.variant.subject.label} "
            f"({ratio.low:.3f} to {ratio.high:.3f})"
        )
    return lines + [f"not timed: {left.name}: {left.reason}" for left in report.left_out]
