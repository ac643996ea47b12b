"""Finds templates and functions that call themselves, directly or through others, from the calls in a text."""

from __future__ import annotations

from collections.abc import Iterator

from resnext_dsl.foundation.diagnostics import Diagnostic, Span
from resnext_dsl.syntax import nodes as s

Definition = s.Template | s.Fn


class Calls:
    """The graph of calls between definitions.

    Attributes:
        owner: The definition whose body is being checked; None outside all bodies.
    """

    def __init__(self) -> None:
        self.owner: Definition | None = None
        self._definitions: dict[int, Definition] = {}
        self._calls: dict[int, dict[int, Span]] = {}

    def enter(self, owner: Definition) -> Definition | None:
        """Begins the body of a definition; returns the definition around it, which continues afterwards."""
        before, self.owner = self.owner, owner
        self._definitions[id(owner)] = owner
        self._calls.setdefault(id(owner), {})
        return before

    def add(self, callee: Definition, span: Span) -> None:
        """Adds a call from the current definition; only the first call of each callee counts."""
        if self.owner is not None:
            self._calls[id(self.owner)].setdefault(id(callee), span)

    def circles(self) -> Iterator[Diagnostic]:
        """Each circle of calls once, at the call that closes it."""
        done: set[int] = set()
        for start in self._definitions:
            if start in done:
                continue
            path = [start]
            stack: list[Iterator[int]] = [iter(self._calls.get(start, {}))]
            while stack:
                following = next(stack[-1], None)
                if following is None:
                    stack.pop()
                    done.add(path.pop())
                elif following in path:
                    yield self._circle(path[path.index(following) :], self._calls[path[-1]][following])
                elif following not in done:
                    path.append(following)
                    stack.append(iter(self._calls.get(following, {})))

    def _circle(self, path: list[int], span: Span) -> Diagnostic:
        names = [self._definitions[place].name.text for place in (*path, path[0])]
        kind = "template" if isinstance(self._definitions[path[0]], s.Template) else "function"
        message = f"{kind} `{names[0]}` calls itself: {' -> '.join(names)}"
        return Diagnostic("E104", message, span, hint="use `repeat` or `for` to do something several times")
