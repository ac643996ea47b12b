"""Result files: JSON lines, appended one by one, and the Markdown tables of their lines.

A file holds whole lines at any time: each entry is one write, followed by `fsync`. A reader ignores a last line that
was cut off. The kinds of entries:

    header       the command, whether it is a dry run, when it began
    environment  card, driver, versions, flags; `differs`: which features of torch this version has
    line         a check: part, what, state, figure; the seconds since the line before it, or since its part began
    part         how many seconds a part has taken; "imports" are those before the first part
    measurement  raw numbers of one timed case
    end          the exit status, and the parts that were not reached
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Entry = dict[str, Any]

OK, NOT_OK, LEFT_OUT = "ok", "not ok", "left out"
STATES = (OK, NOT_OK, LEFT_OUT)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table: what was checked, whether it is so, and a figure or the reason it was left out.

    Attributes:
        part: The part of the command that wrote it.
        what: The check, in a few words.
        state: One of `STATES`.
        figure: The figure with its unit and limit; for a check that was left out, the reason.
    """

    part: str
    what: str
    state: str
    figure: str = ""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"`state` must be one of {', '.join(STATES)}; found {self.state!r}")

    def entry(self) -> Entry:
        """The line as an entry of a result file."""
        return {"kind": "line", **asdict(self)}

    def text(self) -> str:
        """The line as it is printed: `part: what | state | figure`."""
        return f"{self.part}: {self.what} | {self.state} | {self.figure}".rstrip(" |")


class Record:
    """A result file that grows. It is made with its first entry, so a refused run leaves none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def append(self, entry: Entry) -> None:
        """Writes an entry and waits until it is on the disk."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o644)
        os.write(self._file, (json.dumps(entry) + "\n").encode())
        os.fsync(self._file)

    def close(self) -> None:
        """Writes the Markdown tables beside the file."""
        if self._file is None:
            return
        os.close(self._file)
        self._file = None
        self.path.with_suffix(".md").write_text(markdown(read(self.path)), encoding="utf-8")


def read(path: Path) -> list[Entry]:
    """The entries of a result file, without a last line that was cut off.

    Raises:
        ValueError: For a file that is no result file.
    """
    entries = []
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, text in enumerate(lines, 1):
        if not text:
            continue
        try:
            entry = json.loads(text)
        except json.JSONDecodeError:
            if number == len(lines):  # no newline after it: the run ended while it was written
                break
            raise ValueError(f"{path}:{number}: this line is not JSON") from None
        entries.append(entry)
    if not entries or not isinstance(entries[0], dict) or entries[0].get("kind") != "header":
        raise ValueError(f"{path}: this is no result file of `python -m benchmarks.gpu`")
    return entries


def of_kind(entries: Iterable[Entry], kind: str) -> list[Entry]:
    """The entries of one kind."""
    return [entry for entry in entries if entry["kind"] == kind]


def markdown(entries: list[Entry]) -> str:
    """The environment and the table of lines."""
    return "\n".join([*environment_text(entries), "", *lines_table(of_kind(entries, "line")), ""])


def environment_text(entries: list[Entry]) -> list[str]:
    """Card, versions and flags, a list item each; the command and the reason why it ended."""
    header = entries[0]
    dry = ", dry: on the CPU, tiny sizes" if header["dry"] else ""
    texts = [f"`python -m benchmarks.gpu {header['command']}`, {header['began']}{dry}", ""]
    for entry in of_kind(entries, "environment"):
        texts += [f"- {name}: {value}" for name, value in entry["values"].items()]
        texts += [f"- {name}: {value}" for name, value in entry["differs"].items()]
    ended = of_kind(entries, "end")
    if not ended:
        texts.append("- the run was cut off: the lines below are those that it had written")
    elif ended[-1]["reason"]:
        texts.append(f"- {ended[-1]['reason']}")
    return texts


def lines_table(lines: Iterable[Entry]) -> list[str]:
    """A Markdown table of check lines."""
    rows = ["| part | what | ok or not | s | figure |", "|---|---|---|---:|---|"]
    for line in lines:
        seconds = line.get("seconds")  # the first files have none
        cells = (line["part"], line["what"], line["state"], "" if seconds is None else f"{seconds:g}", line["figure"])
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def counts(lines: Iterable[Entry]) -> str:
    """How many lines have which state: `12 ok, 1 not ok, 3 left out`."""
    states = [line["state"] for line in lines]
    return ", ".join(f"{states.count(state)} {state}" for state in STATES)
