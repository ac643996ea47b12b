"""The domain of a parameter: a set of values, a range of numbers, or a domain for each element of a list."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from resnext_dsl.foundation.diagnostics import ArchError, Note, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import is_int
from resnext_dsl.semantics.evaluate import Interpreter, as_word
from resnext_dsl.semantics.values import Environment, List, fits_type, show, type_name, with_article
from resnext_dsl.syntax import nodes as s

if TYPE_CHECKING:
    from decimal import Decimal


class Domain(NamedTuple):
    """The values that a search can choose for a parameter.

    Attributes:
        values: The values of a set.
        low: The lower end of a range; None for a set or a list.
        high: The upper end, which belongs to the range.
        step: The distance between the values of a range; without it, ints are one apart and floats are dense.
        log: Whether a search draws from a range evenly on a logarithmic scale.
        each: The domain of each element of a list.
    """

    values: tuple[Any, ...] = ()
    low: Any = None
    high: Any = None
    step: Any = None
    log: bool = False
    each: tuple[Domain, ...] = ()

    def __contains__(self, value: Any) -> bool:
        if self.each:
            fits = isinstance(value, List) and len(value) == len(self.each)
            return fits and all(item in domain for item, domain in zip(value, self.each, strict=True))
        if self.low is None:
            return any(type_name(value) == type_name(item) and value == item for item in self.values)
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if is_int(self.low) and is_int(self.high) and not is_int(value):
            return False
        if self.step is None:
            return True
        if all(map(is_int, (self.low, self.step, value))):
            return bool((value - self.low) % self.step == 0)
        return (exact(value) - exact(self.low)) % exact(self.step) == 0

    @property
    def size(self) -> int | None:
        """The number of values; None for a range of floats without a step."""
        if self.each:
            sizes = [domain.size for domain in self.each]
            return None if None in sizes else math.prod(size for size in sizes if size is not None)
        if self.low is None:
            return len(self.values)
        if self.step is None:
            return self.high - self.low + 1 if is_int(self.low) and is_int(self.high) else None
        return int((exact(self.high) - exact(self.low)) // exact(self.step)) + 1

    def value_at(self, place: int) -> Any:
        """The value at a place in the order; not for a list, nor for a range of floats without a step."""
        if self.low is None:
            return self.values[place]
        step = 1 if self.step is None else self.step
        if is_int(self.low) and is_int(step):
            return self.low + place * step
        return float(exact(self.low) + place * exact(step))  # 0.3, where 0.1 + 2 * 0.1 is 0.30000000000000004

    def place_of(self, value: Any) -> int | None:
        """The place of a value in their order; None if the domain does not contain it."""
        if value not in self:
            return None
        if self.low is None:
            return next(i for i, v in enumerate(self.values) if type_name(v) == type_name(value) and v == value)
        return int((exact(value) - exact(self.low)) / exact(1 if self.step is None else self.step))

    def elements(self) -> tuple[Any, ...]:
        """All values in order.

        Raises:
            ValueError: For a range of floats without a step.
        """
        if self.size is None:
            raise ValueError(f"{self} has infinitely many values")
        if self.each:
            return tuple(map(List, itertools.product(*(domain.elements() for domain in self.each))))
        return tuple(map(self.value_at, range(self.size)))

    def __str__(self) -> str:
        if self.each:
            return "[" + ", ".join(map(str, self.each)) + "]"
        if self.low is None:
            return "{" + ", ".join(map(show, self.values)) + "}"
        step = f" step {self.step}" if self.step is not None else ""
        return f"{self.low}..{self.high}{step}{' log' if self.log else ''}"


def exact(number: Any) -> Decimal:
    """A number as the shortest decimal that denotes it."""
    from decimal import Decimal  # only few specs have a domain of floats, and it takes 400 KiB of memory

    return Decimal(int(number)) if isinstance(number, int) else Decimal(repr(float(number)))


def domain_of(written: s.Domain, evaluator: Interpreter, env: Environment) -> Domain:
    """The domain that a text declares.

    Raises:
        ArchError: E204 if an end or a step of a range is not a number. E205 if a range is empty, if a step is not above
            0, or if a range with `log` does not begin above 0.
    """
    if isinstance(written, s.ListDomain):
        return Domain(each=tuple(domain_of(element, evaluator, env) for element in written.elements))
    if isinstance(written, s.SetDomain):
        return Domain(tuple(evaluator.walked(item, env) for item in written.items))
    ends = [part for part in (written.low, written.high, written.step) if part is not None]
    numbers = [evaluator.walked(part, env) for part in ends]
    for number, part in zip(numbers, ends, strict=True):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise error("E204", f"the ends and the step of a range must be numbers; found {show(number)}", part.span)
    low, high = numbers[:2]
    step = numbers[2] if written.step is not None else None
    if low > high:
        raise error("E205", f"the range {low}..{high} is empty", written.span, hint=f"did you mean `{high}..{low}`?")
    if step is not None and step <= 0:
        raise error("E205", f"the step must be above 0; found {step}", ends[2].span)
    if written.log and low <= 0:
        raise error("E205", f"a range with `log` must begin above 0; found {low}", ends[0].span)
    return Domain(low=low, high=high, step=step, log=written.log)


def typed(domain: Domain, written: s.Domain, kind: str, default: Any) -> Domain:
    """The domain of a parameter, or of an element of a list, with values of its type.

    Args:
        domain: The result of `domain_of(written)`.
        written: The domain in the text, for the places of errors.
        kind: The type.
        default: The default, whose elements give the types of the elements of a list.

    Raises:
        ArchError: E204 for a value of another type, E205 for a list of another length.
    """
    if isinstance(written, s.ListDomain):
        if not isinstance(default, List):
            raise error("E204", f"a domain in `[ ]` needs a list as the default; found {show(default)}", written.span)
        if len(default) != len(domain.each):
            message = f"a list of {len(default)} elements needs {len(default)} domains; found {len(domain.each)}"
            raise error("E205", message, written.span)
        elements = zip(domain.each, written.elements, default, strict=True)
        return domain._replace(
            each=tuple(typed(element, text, type_name(item), item) for element, text, item in elements)
        )
    if isinstance(written, s.SetDomain):
        domain = domain._replace(values=tuple(map(as_word, domain.values))) if kind == "string" else domain
        for value, item in zip(domain.values, written.items, strict=True):
            if not fits_type(value, kind):
                raise _wrong_type(value, kind, item)
        domain = domain._replace(values=_floats(domain.values)) if kind == "float" else domain
        _check_distinct(domain.values, written.items)
        return domain
    parts = (domain.low, domain.high, domain.step)
    for number, part in zip(parts, (written.low, written.high, written.step), strict=True):
        if part is not None and not fits_type(number, kind):
            raise _wrong_type(number, kind, part)
    if kind != "float":
        return domain
    low, high = _floats((domain.low, domain.high))
    return domain._replace(low=low, high=high, step=None if domain.step is None else domain.step + 0.0)


def _check_distinct(values: Sequence[Any], items: Sequence[s.Expression]) -> None:
    first: dict[tuple[str, Any], s.Expression] = {}
    for value, item in zip(values, items, strict=True):
        try:
            other = first.setdefault((type_name(value), value), item)
        except TypeError:
            return  # a column of candidates has no hash; the binding of one candidate checks its domains
        if other is not item:
            notes = (Note(f"`{other.span.text[:40]}` has the same value", other.span),)
            raise error("E102", f"`{item.span.text[:40]}` occurs twice in the domain", item.span, notes=notes)


def _wrong_type(value: Any, kind: str, part: s.Expression) -> ArchError:
    message = f"the parameter is {with_article(kind)}; its domain contains {show(value)}"
    return error("E204", message, part.span)


def _floats(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(value + 0.0 for value in values)
