"""Damaged specs: shipped and random networks with a few tokens, lines or characters changed, by a seed."""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from random_networks import Writer

SPECS = Path(__file__).parent.parent.parent / "specs"

TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9][0-9A-Za-z.]*|\n|[ \t]+|\S")

WORDS = re.findall(
    r"\S+",
    "and as budget default else false fn for from head if import in init input let merge network not or output param "
    "path repeat require residual shortcut slice split stage stem step template true use when x log conv bn relu add "
    "concat mul linear flatten avgpool maxpool global same identity skip pad auto projection channels_in shape_in "
    "channels_here first last min max sum len count range round divisible groups stride kernel padding dilation bias "
    "params flops latency weight kaiming_normal normal zeros fan_out upsample shuffle slice conv_transpose layernorm",
)

PIECES = (
    *WORDS,
    *re.findall(r"\S+", '{ } ( ) [ ] , ; : . .. = == != < <= > >= + - * / // % ** # "'),
    "\n",
    *("0", "1", "2", "3", "7", "-1", "64", "0.5", "1e-3", "1e308", "3x3", "3x224x224", "0x0", "10 ** 20", "2 ** 64"),
    *("25M", "5ms", "1KB", "[]", "[1, 2]", "[[1], [2]]", '"a"', '""', "true", "()", "{1, 2}", "1..8", "1..8 step 2"),
    *("\N{MULTIPLICATION SIGN}", "\N{CYRILLIC SMALL LETTER ES}", "\N{NO-BREAK SPACE}", "\t", "\r", "\\", "'", "$", "@"),
)
"""Texts that a mutation puts in."""


class Damaged(NamedTuple):
    """A damaged text, and the folder that its imports start from."""

    text: str
    root: Path | None


@cache
def shipped() -> tuple[tuple[Path, str], ...]:
    """The shipped files with their texts."""
    return tuple((path, path.read_text(encoding="utf-8")) for path in sorted(SPECS.rglob("*.arch")))


def damaged(seed: int) -> Damaged:
    """The damaged spec of a seed."""
    source = random.Random(seed)
    if source.random() < 0.5:
        path, text = source.choice(shipped())
        root: Path | None = path.parent
    else:
        text, root = f"network n {{\n    input image: 8x16x16\n{Writer(source).network()}\n}}\n", None
    for _ in range(source.choice((1, 1, 1, 2, 3, 8))):
        text = source.choice(MUTATIONS)(text, source)
    return Damaged(text, root)


def _tokens(text: str) -> list[str]:
    return TOKEN.findall(text)


def _replaced(text: str, source: random.Random) -> str:
    tokens = _tokens(text)
    places = [number for number, token in enumerate(tokens) if token.strip()] or [0]
    tokens[source.choice(places)] = source.choice(PIECES)
    return "".join(tokens)


def _inserted(text: str, source: random.Random) -> str:
    tokens = _tokens(text)
    tokens.insert(source.randint(0, len(tokens)), f" {source.choice(PIECES)} ")
    return "".join(tokens)


def _removed(text: str, source: random.Random) -> str:
    tokens = _tokens(text)
    start = source.randrange(len(tokens))
    del tokens[start : start + source.choice((1, 1, 1, 2, 5, 20))]
    return "".join(tokens) or "\n"


def _exchanged(text: str, source: random.Random) -> str:
    """Two tokens of one kind change places: names with names, numbers with numbers."""
    tokens = _tokens(text)
    kind = source.choice((str.isidentifier, lambda token: token[:1].isdigit()))
    places = [number for number, token in enumerate(tokens) if kind(token)]
    if len(places) > 1:
        one, other = source.sample(places, 2)
        tokens[one], tokens[other] = tokens[other], tokens[one]
    return "".join(tokens)


def _another_number(text: str, source: random.Random) -> str:
    tokens = _tokens(text)
    places = [number for number, token in enumerate(tokens) if token[:1].isdigit()]
    if places:
        tokens[source.choice(places)] = str(
            source.choice((0, 1, 2, 3, 5, 7, 31, 1000, 10**6, 10**12, 2**63, 0.5, 1e300))
        )
    return "".join(tokens)


def _without_line(text: str, source: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    del lines[source.randrange(len(lines))]
    return "".join(lines) or "\n"


def _moved_line(text: str, source: random.Random) -> str:
    """A line of this text, or of a shipped file, stands at another place too."""
    lines = text.splitlines(keepends=True)
    other = lines if source.random() < 0.5 else source.choice(shipped())[1].splitlines(keepends=True)
    lines.insert(source.randrange(len(lines) + 1), source.choice(other))
    return "".join(lines)


def _cut(text: str, source: random.Random) -> str:
    return text[: source.randrange(len(text) + 1)] or "\n"


def _odd_character(text: str, source: random.Random) -> str:
    place = source.randrange(len(text) + 1)
    return text[:place] + chr(source.choice((0, 7, 27, 0xA0, 0x2028, 0xFEFF, 0x1F600, 0xD7, 0x37E))) + text[place:]


MUTATIONS = (
    *(_replaced, _replaced, _replaced, _inserted, _inserted, _removed, _removed, _exchanged, _exchanged, _exchanged),
    *(_another_number, _another_number, _without_line, _moved_line, _cut, _odd_character),
)
