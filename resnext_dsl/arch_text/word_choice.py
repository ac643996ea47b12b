"""Names for what a text declares: valid in the language, and different from every word that has a meaning there."""

from __future__ import annotations

import re

from resnext_dsl.operators import OPERATORS, SYMBOLS
from resnext_dsl.semantics.evaluate import SHORTCUTS
from resnext_dsl.semantics.functions import BUILTINS
from resnext_dsl.semantics.init_schemes import INIT_WORDS

KEYWORDS = (
    "and as budget default else false fn for from head if import in init input let log merge network not or output "
    "param path repeat require residual shared shortcut slice split stage stem step template true use when x list main "
    "value_in channels_in shape_in value_here channels_here shape_here"
)
LIBRARY_NAMES = ("conv_bn_act", "squeeze_excite")
RESERVED = frozenset([*KEYWORDS.split(), *LIBRARY_NAMES, *OPERATORS, *SYMBOLS, *SHORTCUTS, *BUILTINS, *INIT_WORDS]) - {
    "channels"
}

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
LONGEST = 60


SHADOWED = frozenset({"width", "channels"})
"""Parameters of the network whose names parameters of templates may have too."""


class NameTable:
    """The names in use; a name is given once."""

    def __init__(self, taken: frozenset[str] = RESERVED, outer: NameTable | None = None) -> None:
        self._taken = set(taken)
        self._outer = outer

    def has(self, name: str) -> bool:
        """Whether a name is in use."""
        return name in self._taken or (self._outer is not None and name not in SHADOWED and self._outer.has(name))

    def reserve(self, name: str) -> None:
        """Marks a name as used."""
        self._taken.add(name)

    def give(self, wanted: str, numbered: bool = False) -> str:
        """The wanted name, or with the first free number behind it; `numbered`: always with a number."""
        base = valid_name(wanted)
        name, number = base, 1
        if numbered:
            name = f"{base}1"
        while self.has(name):
            number += 1
            joint = "_" if base[-1:].isdigit() else ""
            name = f"{base}{joint}{number}"
        self._taken.add(name)
        return name


def valid_name(text: str) -> str:
    """The text as a name of the language."""
    name = _NOT_A_NAME.sub("_", text).strip("_")[:LONGEST]
    if not name:
        return "block"
    return f"n{name}" if name[0].isdigit() else name


def snake_case(label: str) -> str:
    """The name of a class as the name of a template: `InvertedResidual` -> `inverted_residual`."""
    return valid_name(_HUMP.sub("_", label.replace("NeXt", "Next"))).lower()
