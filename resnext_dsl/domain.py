"""What a search may pick for a parameter: the values of a set, or a range of numbers."""

from __future__ import annotations

import math
from typing import Any

from resnext_dsl import syntax as s
from resnext_dsl.diagnostics import error
from resnext_dsl.evaluate import Evaluator
from resnext_dsl.operators.base import is_int
from resnext_dsl.records import NamedTuple
from resnext_dsl.values import Environment, show, type_name


class Domain(NamedTuple):
    """What a search may pick: the listed values, or a range with both ends and an optional step."""

    values: tuple[Any, ...] = ()
    low: Any = None
    high: Any = None
    step: Any = None

    def __contains__(self, value: Any) -> bool:
        if self.low is None:
            return any(type_name(value) == type_name(item) and value == item for item in self.values)
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return self.step is None or (value - self.low) % self.step == 0

    @property
    def size(self) -> int | None:
        """How many values it has; None for a range of floats without a step."""
        if self.low is None:
            return len(self.values)
        if self.step is None and not (is_int(self.low) and is_int(self.high)):
            return None
        step = 1 if self.step is None else self.step
        if all(map(is_int, (self.low, self.high, step))):
            return int((self.high - self.low) // step) + 1
        # Of floats the last may miss the end by a rounding.
        steps: int = math.floor((self.high - self.low) / step * (1 + 1e-12))
        return steps + 1

    def elements(self) -> tuple[Any, ...]:
        """Its values in order.

        Raises:
            ValueError: For a range of floats without a step.
        """
        if self.low is None:
            return self.values
        if self.size is None:
            raise ValueError(f"{self} has no end of values")
        step = 1 if self.step is None else self.step
        return tuple(self.low + place * step for place in range(self.size))

    def __str__(self) -> str:
        if self.low is None:
            return "{" + ", ".join(map(show, self.values)) + "}"
        return f"{self.low}..{self.high}" + (f" step {self.step}" if self.step is not None else "")


def domain_of(written: s.SetDomain | s.RangeDomain, evaluator: Evaluator, env: Environment) -> Domain:
    """The domain that a text declares.

    Raises:
        ArchError: E204 for what is no number in a range, E205 for a range that is empty or a step that is not above 0.
    """
    if isinstance(written, s.SetDomain):
        return Domain(tuple(evaluator.evaluate(item, env) for item in written.items))
    ends = [part for part in (written.low, written.high, written.step) if part is not None]
    numbers = [evaluator.evaluate(part, env) for part in ends]
    for number, part in zip(numbers, ends, strict=True):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise error("E204", f"a range is of numbers; found {show(number)}", part.span)
    low, high = numbers[:2]
    step = numbers[2] if written.step is not None else None
    if low > high:
        raise error("E205", f"the range {low}..{high} is empty", written.span, hint=f"did you mean `{high}..{low}`?")
    if step is not None and step <= 0:
        raise error("E205", f"the step must be above 0; found {step}", ends[2].span)
    return Domain(low=low, high=high, step=step)
