"""Reads the names of layers: their words, their numbers, and the path that dots and underscores spell.

Libraries name one thing in several ways. `SYNONYMS` has one word for each thing, and `SILENT` has the words that say
nothing about which of two layers is meant.
"""

from __future__ import annotations

import re
from functools import lru_cache

SYNONYMS = {
    "downsample": "shortcut",
    "skip": "shortcut",
    "proj": "shortcut",
    "identity": "shortcut",
    "squeeze": "se",
    "excite": "se",
    "excitation": "se",
    "dw": "depthwise",
    "dwconv": "depthwise",
    "pw": "pointwise",
    "pwconv": "pointwise",
    "classifier": "head",
    "logits": "head",
    "previous": "prev",
    "current": "now",
    "cur": "now",
    "avgpool": "pool",
    "maxpool": "pool",
    "pooling": "pool",
    "auxiliary": "aux",
}
"""Word of a library -> the word that stands for it here."""

_SILENT = """
    act activation base batch batchnorm bias block blocks bn body branch branches cell cells conv convs conv2d
    dbl features kernel layer layers linear main model module modules net network norm op ops path paths relu
    seq sequential stage stages stem sub unit units weight
"""
SILENT = frozenset(_SILENT.split())
"""Words that stand in names of all kinds of layers."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SHORT = re.compile(r"[a-z]{1,2}[0-9]{1,3}")


@lru_cache(maxsize=100_000)
def words_of(name: str) -> frozenset[str]:
    """The words of a name that can tell layers apart.

    >>> sorted(words_of("layer1.0.downsample.conv_prev_1x1")), sorted(words_of("fpn.p6"))
    (['prev', 'shortcut'], ['fpn', 'p6'])
    """
    words = set()
    for part in path_of(name):
        if _SHORT.fullmatch(part) and part[:2] not in SILENT:
            words.add(part)
        for word in _WORDS.findall(part):
            spelled = SYNONYMS.get(word.lower(), word.lower())
            if len(spelled) > 1 and not spelled.isdigit() and spelled not in SILENT:
                words.add(spelled)
    return frozenset(words)


@lru_cache(maxsize=100_000)
def path_of(name: str) -> tuple[str, ...]:
    """The parts of a name between dots and underscores.

    >>> path_of("mixed.branch7x7_2.conv")
    ('mixed', 'branch7x7', '2', 'conv')
    """
    return tuple(part for part in re.split(r"[._]", name) if part)


@lru_cache(maxsize=100_000)
def numbers_of(part: str) -> tuple[str, tuple[int, ...]]:
    """The letters of a part of a name, and its numbers by value.

    A letter counts as a number if it stands behind a number, or if it is one of a to h and the whole part.

    >>> numbers_of("conv10"), numbers_of("3"), numbers_of("inception4b"), numbers_of("c")
    (('conv#', (10,)), ('#', (3,)), ('inception##', (4, 2)), ('#', (3,)))
    """
    letter = re.search(r"(?<=[0-9])([a-z])\Z|\A([a-h])\Z", part)
    if letter is not None:
        part = f"{part[:-1]}.{ord(letter[0]) - ord('a') + 1}"
    numbers = tuple(int(digits) for digits in re.findall(r"[0-9]{1,18}", part))
    return re.sub(r"[0-9]{1,18}", "#", part).replace(".", ""), numbers
