"""Templates and functions that call themselves: finds those that always do, and words the errors of both kinds.

A call under a condition or in a loop may end the recursion; expansion and evaluation bound the depth of such calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, Span, error
from resnext_dsl.foundation.options import Options
from resnext_dsl.syntax import nodes as s

Definition = s.Template | s.Fn


class Calls:
    """The graph of the calls between definitions that happen whenever the caller is called.

    Attributes:
        owner: The definition whose body is being checked; None outside all bodies.
    """

    def __init__(self) -> None:
        self.owner: Definition | None = None
        self._optional = 0
        self._definitions: dict[int, Definition] = {}
        self._calls: dict[int, dict[int, Span]] = {}

    def enter(self, owner: Definition) -> Definition | None:
        """Begins the body of a definition; returns the definition around it, which continues afterwards."""
        before, self.owner = self.owner, owner
        self._definitions[id(owner)] = owner
        self._calls.setdefault(id(owner), {})
        return before

    @contextmanager
    def optional(self) -> Iterator[None]:
        """Around text that may not run: under a condition, in a loop, a default."""
        self._optional += 1
        try:
            yield
        finally:
            self._optional -= 1

    def add(self, callee: Definition, span: Span) -> None:
        """Adds a call from the current definition; only the first call of each callee counts."""
        if self.owner is not None and not self._optional:
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
        first = self._definitions[path[0]]
        names = [self._definitions[place].name.text for place in (*path, path[0])]
        kind = "template" if isinstance(first, s.Template) else "function"
        message = f"{kind} `{names[0]}` always calls itself: {' -> '.join(names)}"
        return Diagnostic("E104", message, span, hint=recursion_hint(first, self._definitions[path[-1]]))


def too_deep(span: Span, options: Options, again: Definition | None = None) -> ArchError:
    """The error for calls that are nested beyond the bound; `again` is a template or function that calls itself."""
    limit = "the option `max_calls` sets the limit"
    deep = f"templates, functions and blocks are nested deeper than {options.max_calls}"
    if again is None:
        return error("E403", deep, span, hint=limit)
    kind = "template" if isinstance(again, s.Template) else "function"
    message = f"{kind} `{again.name.text}` calls itself too often: {deep}"
    return error("E403", message, span, hint=f"{recursion_hint(again, again)}; {limit}")


def recursion_hint(first: Definition, last: Definition) -> str:
    """The hint for a recursion that does not end.

    Args:
        first: The definition that is called again.
        last: The definition with that call.
    """
    smaller = f"{first.name.text}(n - 1)"
    ended = f"if n > 1 {{ {smaller} }}" if isinstance(last, s.Template) else f"{smaller} if n > 1 else ..."
    return f"end the recursion by a condition on an argument that decreases, as in `{ended}`"
