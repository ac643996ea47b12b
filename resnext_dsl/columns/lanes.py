"""The candidates of a run on columns, and the paths that they take through it.

`Lanes.explore` runs code once for each answer to a question such as the truth of a column. So that code needs no
knowledge of columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.operators.base import RuleError
from resnext_dsl.semantics.values import UnsettledError

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Array = np.ndarray[Any, np.dtype[Any]]

PATHS = 20_000
"""Most paths through one step; beyond it, candidates are priced one by one."""


class NoClosedFormError(Exception):
    """Candidates have no common closed form; the message gives the reason."""


class TooWideError(NoClosedFormError):
    """A number depends on too many combinations of parameters for one axis each."""


class DeadError(Exception):
    """No candidate is left on the current path."""


FAILED = (ArchError, RuleError, UnsettledError, DeadError)
"""Exceptions that end a path; its candidates are invalid."""


class Lanes:
    """The candidates, and the candidates of the current path.

    Attributes:
        limit: Most numbers of one array.
        active: The candidates of the current path, as a mask that broadcasts.
        overflowed: The candidates whose numbers left 64 bits or the exact floats.
        masks: The candidates of each noted object, such as a node, by the number that `note` returns.
        known: A cache of small columns by content. Equal columns are one object, so that caches of results by identity
            find them.
    """

    def __init__(self, axes: int, limit: int) -> None:
        self.limit = limit
        self.active: Mask = np.ones((1,) * axes, dtype=bool)
        self.overflowed: Mask = np.zeros((1,) * axes, dtype=bool)
        self.masks: list[Mask] = []
        self.known: dict[tuple[str, tuple[int, ...], bytes], Any] = {}
        self._script: list[bool] | None = None
        self._place = 0
        self._pending: list[list[bool]] = []

    def note(self, mask: Mask | None = None) -> int:
        """Stores the candidates of the current path, or a mask, in `masks`; returns the index.

        Candidates that leave the path later are removed from the mask.
        """
        self.masks.append(self.active if mask is None else mask)
        return len(self.masks) - 1

    def fits(self, *arrays: Array) -> None:
        """Checks the size of the broadcast of arrays.

        Raises:
            TooWideError: If the size is beyond the limit.
        """
        # An axis has its full length or 1; plain numbers have no axes.
        size = math.prod(map(max, zip(*(array.shape for array in arrays if array.ndim), strict=True)))
        if size > self.limit:
            raise TooWideError(f"{size} combinations of parameters meet in one number")

    def both(self, left: Mask, right: Mask) -> Mask:
        """The intersection of two masks."""
        if left.size == 1 and left.item():
            return right
        if right.size == 1 and right.item():
            return left
        self.fits(left, right)
        return left & right

    def kill(self, mask: Mask) -> None:
        """Excludes candidates from the current path.

        Raises:
            DeadError: If no candidate is left.
        """
        dead = self.both(self.active, mask)
        if dead.any():
            self.active = self.both(self.active, ~dead)
            if not self.active.any():
                raise DeadError

    def overflow(self, mask: Mask) -> None:
        """Excludes candidates whose numbers are not exact, and records them in `overflowed`."""
        dead = self.both(self.active, mask)
        if dead.any():
            self.fits(self.overflowed, dead)
            self.overflowed = self.overflowed | dead
            self.kill(dead)

    def decide(self, truth: Mask) -> bool:
        """The truth of a condition on the current path; `explore` runs the step again for candidates that differ."""
        if truth.all():
            return True
        if not truth.any():
            return False
        yes = self.both(self.active, truth)
        if not yes.any():
            return False
        no = self.both(self.active, ~truth)
        if not no.any():
            return True
        if self._script is None:
            raise NoClosedFormError("candidates differ in a choice outside of a step")
        if self._place == len(self._script):
            self._pending.append([*self._script, False])
            self._script.append(True)
        answer = self._script[self._place]
        self._place += 1
        self.active = yes if answer else no
        return answer

    def explore(self, run: Callable[[], Any]) -> list[tuple[Mask, Any]]:
        """Runs a step for every path through it.

        Returns:
            For each path that does not fail, its candidates and its result.

        Raises:
            DeadError: If every path fails.
            NoClosedFormError: If there are too many paths.
        """
        outer = self.active, self._script, self._place, self._pending
        before = self.active
        pending: list[list[bool]] = [[]]
        outcomes: list[tuple[Mask, Any]] = []
        paths = 0
        try:
            while pending:
                paths += 1
                if paths > PATHS:
                    raise NoClosedFormError(f"one step has more than {PATHS} paths")
                self.active, self._script, self._place, self._pending = before, pending.pop(), 0, pending
                first = len(self.masks)
                try:
                    value = run()
                except FAILED:
                    self._leave(first)
                    continue
                self._narrow(first, before)
                outcomes.append((self.active, value))
        finally:
            self.active, self._script, self._place, self._pending = outer
        if not outcomes:
            raise DeadError
        self.active = self._together(before, [mask for mask, _ in outcomes])
        return outcomes

    def _leave(self, first: int) -> None:
        none = np.zeros_like(self.active, shape=(1,) * self.active.ndim)
        self.masks[first:] = [none] * (len(self.masks) - first)

    def _narrow(self, first: int, before: Mask) -> None:
        """Limits objects that a path has noted to the candidates of that path."""
        if self.active is not before:
            for number in range(first, len(self.masks)):
                self.masks[number] = self.both(self.masks[number], self.active)

    def _together(self, before: Mask, masks: list[Mask]) -> Mask:
        """The candidates of several paths; the earlier mask if no candidate was lost, since it has fewer axes."""
        if len(masks) == 1 and masks[0] is before:
            return before
        union = masks[0]
        for mask in masks[1:]:
            self.fits(union, mask)
            union = union | mask
        return before if not self.both(before, ~union).any() else self.both(before, union)


class Choice:
    """One of several values that cannot be merged, each with its candidates. No value is a choice itself."""

    __slots__ = ("lanes", "outcomes")

    def __init__(self, lanes: Lanes, outcomes: Sequence[tuple[Mask, Any]]) -> None:
        self.lanes = lanes
        self.outcomes = outcomes

    def settle(self) -> Any:
        """The value on the current path; it splits the path if candidates differ."""
        for mask, value in self.outcomes[:-1]:
            if self.lanes.decide(mask):
                return value
        return self.outcomes[-1][1]
