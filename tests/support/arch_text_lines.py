"""Lines of written texts beside those of the shipped specs: `python tests/support/arch_text_lines.py` prints the table.

The text is written for the graph in the form that is read from a torch module. A spec that derives its network from
that of another file has the lines of both; files of the library are not counted.
"""

from __future__ import annotations

import re
import statistics
from functools import cache
from pathlib import Path

from stripped_graphs import stripped

import resnext_dsl as rx
from resnext_dsl.arch_text import arch_text

SPECS = Path(__file__).parent.parent.parent / "specs"
NAMES = sorted(path.stem for path in SPECS.glob("*.arch"))
_BASES = re.compile(r'^from (?:networks\.(\w+)|"(\w+)\.arch") import', re.MULTILINE)


def count(text: str) -> int:
    """The lines of a text, without blank lines and comments."""
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))


def lines_of_spec(name: str) -> int:
    """The lines of a shipped spec, with those of the networks that it is derived from."""
    text = (SPECS / f"{name}.arch").read_text(encoding="utf-8")
    bases = [first or second for first, second in _BASES.findall(text)]
    return count(text) + sum(map(lines_of_spec, bases))


@cache
def text_of(name: str) -> str:
    """The text of a shipped network, written for its stripped graph."""
    return arch_text(stripped(rx.load(name).ir), name).text


def table() -> list[tuple[float, str, int, int]]:
    """Ratio, name, lines of the text and lines of the spec of every shipped network, the worst first."""
    rows = []
    for name in NAMES:
        written, shipped = count(text_of(name)), lines_of_spec(name)
        rows.append((written / shipped, name, written, shipped))
    return sorted(rows, reverse=True)


if __name__ == "__main__":
    for ratio, name, written, shipped in table():
        print(f"{name:32} {written:4} {shipped:4} {ratio:5.2f}")
    print(f"median {statistics.median(row[0] for row in table()):.2f}")
