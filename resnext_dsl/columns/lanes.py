"""The candidates of a run on columns, and the ways that they take through it.

Code that asks a column for its truth, or for a plain int, is run once for each answer (`Lanes.explore`): it needs to
know nothing of columns.
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
"""Most ways through one step, before candidates are priced one by one instead."""


class NoClosedFormError(Exception):
    """What many candidates have in common is too little; says why."""


class TooWideError(NoClosedFormError):
    """Too many parameters meet in one number for one axis each."""


class DeadError(Exception):
    """No candidate is left on this way."""


FAILED = (ArchError, RuleError, UnsettledError, DeadError)
"""What ends a way: its candidates are not valid."""


class Lanes:
    """The candidates, and which of them the way being run is for.

    Attributes:
        active: Candidates of the way being run, as a mask that broadcasts.
        overflowed: Candidates whose numbers went past what is exact.
        masks: Of everything that has been noted, the candidates that it is there for.
        known: Small columns by their numbers: equal ones are one, so that what has been computed for one is known for
            all.
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
        """A number under which `masks` keeps the candidates of this way, or some of them, less those that leave it."""
        self.masks.append(self.active if mask is None else mask)
        return len(self.masks) - 1

    def fits(self, *arrays: Array) -> None:
        """Checks the size that arrays have together.

        Raises:
            TooWideError: Beyond the limit.
        """
        # An axis has its full length or 1; plain numbers have no axes.
        size = math.prod(map(max, zip(*(array.shape for array in arrays if array.ndim), strict=True)))
        if size > self.limit:
            raise TooWideError(f"{size} combinations of parameters meet in one number")

    def both(self, left: Mask, right: Mask) -> Mask:
        """The candidates of both masks."""
        if left.size == 1 and left.item():
            return right
        if right.size == 1 and right.item():
            return left
        self.fits(left, right)
        return left & right

    def kill(self, mask: Mask) -> None:
        """Takes candidates out of this way.

        Raises:
            DeadError: Where none is left.
        """
        dead = self.both(self.active, mask)
        if dead.any():
            self.active = self.both(self.active, ~dead)
            if not self.active.any():
                raise DeadError

    def overflow(self, mask: Mask) -> None:
        """Takes candidates out of this way whose numbers are past what is exact, and remembers them."""
        dead = self.both(self.active, mask)
        if dead.any():
            self.fits(self.overflowed, dead)
            self.overflowed = self.overflowed | dead
            self.kill(dead)

    def decide(self, truth: Mask) -> bool:
        """The truth of a condition on this way; where candidates differ, the step is run again for the others."""
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
            raise NoClosedFormError("a choice is made where candidates cannot part")
        if self._place == len(self._script):
            self._pending.append([*self._script, False])
            self._script.append(True)
        answer = self._script[self._place]
        self._place += 1
        self.active = yes if answer else no
        return answer

    def explore(self, run: Callable[[], Any]) -> list[tuple[Mask, Any]]:
        """Runs a step for every way through it: which candidates take it, and its result; ways that fail are left out.

        Raises:
            DeadError: Where no way is left.
            NoClosedFormError: Where there are too many.
        """
        outer = self.active, self._script, self._place, self._pending
        before = self.active
        pending: list[list[bool]] = [[]]
        outcomes: list[tuple[Mask, Any]] = []
        ways = 0
        try:
            while pending:
                ways += 1
                if ways > PATHS:
                    raise NoClosedFormError(f"more than {PATHS} ways lead through one step")
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
        nobody = np.zeros_like(self.active, shape=(1,) * self.active.ndim)
        self.masks[first:] = [nobody] * (len(self.masks) - first)

    def _narrow(self, first: int, before: Mask) -> None:
        """What a way has noted before it parted from others is there for its own candidates only."""
        if self.active is not before:
            for number in range(first, len(self.masks)):
                self.masks[number] = self.both(self.masks[number], self.active)

    def _together(self, before: Mask, masks: list[Mask]) -> Mask:
        """The candidates of several ways; the mask from before where nobody was lost, since it has fewer axes."""
        if len(masks) == 1 and masks[0] is before:
            return before
        union = masks[0]
        for mask in masks[1:]:
            self.fits(union, mask)
            union = union | mask
        return before if not self.both(before, ~union).any() else self.both(before, union)


class Choice:
    """A value that is one of several which have nothing in common, each for its candidates; none is a choice itself."""

    __slots__ = ("lanes", "outcomes")

    def __init__(self, lanes: Lanes, outcomes: Sequence[tuple[Mask, Any]]) -> None:
        self.lanes = lanes
        self.outcomes = outcomes

    def settle(self) -> Any:
        """The value on this way."""
        for mask, value in self.outcomes[:-1]:
            if self.lanes.decide(mask):
                return value
        return self.outcomes[-1][1]
