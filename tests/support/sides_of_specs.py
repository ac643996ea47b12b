"""Specs of images as specs of signals or clips: every size loses its height, or gets a time."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(?<![\w.])(\d+)x(\d+)(?:x(\d+))?(?![\w.])")


def of_rank(text: str, rank: int) -> str:
    """The text with sizes of another number of sides.

    An input of three numbers has channels first; a kernel of two numbers has none.
    """
    return _SIZE.sub(lambda match: _sized(match, rank), text)


def _sized(match: re.Match[str], rank: int) -> str:
    numbers = [number for number in match.groups() if number is not None]
    channels, sides = numbers[:-2], numbers[-2:]
    return "x".join([*channels, *sides[:1] * (rank - 2), *sides[-rank:]])
