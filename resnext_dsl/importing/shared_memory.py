"""Values that share memory: a change in place reaches the views of a value too.

A reader gives the result of a call in place to later calls that read its argument. It cannot do so for a value of which
only a part has changed, so reading such a value is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_SHAPED = {"view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze"}
_MOVED = {"permute", "transpose", "t", "swapaxes", "expand", "expand_as"}
_CUT = {"slice", "select", "narrow", "chunk", "split", "split_with_sizes", "unbind", "getitem"}
_SAME = {"contiguous", "detach", "alias", "to", "float", "identity", "dropout", "feature_dropout", "drop_path"}
VIEWS = frozenset(_SHAPED | _MOVED | _CUT | _SAME)
"""Operations whose result may share the memory of their value; dropout returns its value in eval mode."""


class PartChangedError(Exception):
    """A value is read after a part of it has changed in place."""

    def __init__(self) -> None:
        super().__init__("a value is read after a part of it, or a view of it, has changed in place")


class SharedMemory:
    """The values of a trace that share memory."""

    def __init__(self) -> None:
        self._bases: dict[Any, Any] = {}
        self._stale: set[Any] = set()

    def add(self, view: Any, base: Any) -> None:
        """Notes that a value shares the memory of another one."""
        self._bases[view] = base

    def change(self, changed: Any) -> None:
        """Marks the values that a change in place reaches, except the value itself and other parts of one split."""
        above = list(self._above(changed))
        root = above[-1] if above else changed
        for other in (root, *self._bases):
            if other == changed:
                continue
            others = list(self._above(other))
            related = other in above or changed in others
            overlapping = root in others and self._bases.get(other) != self._bases.get(changed)
            if related or overlapping:
                self._stale.add(other)

    def check(self, value: Any) -> None:
        """Checks that a value may be read.

        Raises:
            PartChangedError: If a part of it, or a value that it is a part of, has changed in place.
        """
        if value in self._stale:
            raise PartChangedError

    def _above(self, value: Any) -> Iterator[Any]:
        """The values that a value is a view of, nearest first."""
        while value in self._bases:
            value = self._bases[value]
            yield value
