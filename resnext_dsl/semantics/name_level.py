"""The names that are declared at one level of a text, with the levels around it."""

from __future__ import annotations

from typing import Any

from resnext_dsl.foundation.diagnostics import Span
from resnext_dsl.syntax import nodes as s


class NameLevel:
    """The names of one level with their meanings; the meaning is None if binding or expansion gives the value."""

    __slots__ = ("names", "outer", "spans", "used")

    def __init__(self, outer: NameLevel | None, names: dict[str, Any] | None = None) -> None:
        self.outer = outer
        self.names: dict[str, Any] = {} if names is None else names
        self.spans: dict[str, Span] = {}
        self.used: set[str] = set()

    def find(self, name: str) -> Any:
        """The meaning of a name, which is marked as used; KeyError if it is not declared."""
        level: NameLevel | None = self
        while level is not None:
            if name in level.names:
                level.used.add(name)
                return level.names[name]
            level = level.outer
        raise KeyError(name)

    def all_names(self) -> set[str]:
        """All names that are visible at this level."""
        level: NameLevel | None = self
        seen: set[str] = set()
        while level is not None:
            seen.update(level.names)
            level = level.outer
        return seen

    def declare(self, name: s.Name, meaning: Any = None) -> None:
        """Declares a name."""
        self.names[name.text] = meaning
        self.spans[name.text] = name.span
