"""The table of verdicts by folder, as Markdown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from tests.mutation.sampling import FOLDERS, folder_of
from tests.mutation.verdicts import Verdict

NOTICED = ("noticed", "timed out")


def share(outcomes: Counter[str]) -> float:
    """The part of the mutants that tests notice, equivalent ones left out; 1 if none is left."""
    noticed = sum(outcomes[name] for name in NOTICED)
    judged = noticed + outcomes["missed"]
    return noticed / judged if judged else 1.0


def by_folder(verdicts: Iterable[Verdict]) -> dict[str, Counter[str]]:
    """Counts of outcomes by folder."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for verdict in verdicts:
        counts[folder_of(verdict.mutant.path)][verdict.outcome] += 1
    return {folder: counts[folder] for folder in FOLDERS if folder in counts}


def table(verdicts: Iterable[Verdict]) -> str:
    """The rows of the folders and their sum. A mutant whose run outlasts its limit counts as noticed."""
    counts = by_folder(verdicts)
    rows = [
        "| folder | sampled | noticed | of them timed out | missed | equivalent | share noticed |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_row(f"`{folder}`", outcomes) for folder, outcomes in counts.items()),
        _row("all", sum(counts.values(), Counter())),
    ]
    return "\n".join(rows)


def _row(name: str, outcomes: Counter[str]) -> str:
    noticed = sum(outcomes[outcome] for outcome in NOTICED)
    cells = [
        name,
        sum(outcomes.values()),
        noticed,
        outcomes["timed out"],
        outcomes["missed"],
        outcomes["equivalent"],
        f"{100 * share(outcomes):.0f}%",
    ]
    return f"| {' | '.join(str(cell) for cell in cells)} |"
