"""The dimensions of a space: one for each parameter with a domain, or for each element of a list with domains.

`layout` computes which dimensions are active for which values of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from resnext_dsl.columns.arithmetic import LARGEST
from resnext_dsl.columns.lanes import Array
from resnext_dsl.foundation.diagnostics import Span, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import is_int
from resnext_dsl.semantics.bound_network import Parameter
from resnext_dsl.semantics.domain import Domain
from resnext_dsl.semantics.values import show, type_name
from resnext_dsl.spaces.candidate import WrittenValue, plain
from resnext_dsl.syntax import nodes as s

if TYPE_CHECKING:
    from resnext_dsl.networks.network import Network

WRITTEN = ("operator", "template", "function", "shape")
"""Kinds of values that candidates store as source text."""


class Dimension(NamedTuple):
    """The values that a search may pick for a parameter, or for one element of a list.

    Attributes:
        parameter: The name of the parameter.
        element: The index of the element; None for the parameter as a whole.
        kind: "int", "float", "bool", "string", "shape", "list", "operator", "template" or "function".
        domain: The values to pick from, as values of candidates.
        default: The value in the spec file.
        condition: The text of its `when`; "" if the dimension is always active.
    """

    parameter: str
    element: int | None
    kind: str
    domain: Domain
    default: Any
    condition: str = ""

    @property
    def name(self) -> str:
        """The name in the language: `width`, `depths[2]`."""
        return self.parameter if self.element is None else f"{self.parameter}[{self.element}]"

    @property
    def size(self) -> int | None:
        """The number of values; None for a range of floats without a step."""
        return self.domain.size

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers of a range."""
        return self.domain.low is not None

    def values(self) -> list[Any]:
        """All values in order."""
        assert self.size is not None
        return [self.domain.value_at(place) for place in range(self.size)]

    def place_of(self, value: Any) -> float | None:
        """The index of a value in the domain; None if the value is outside.

        For a range of floats without a step, it is the number itself.
        """
        if self.size is None:
            return float(value) if value in self.domain else None
        return self.domain.place_of(value)

    def drawn(self, rng: np.random.Generator, count: int) -> Array:
        """Draws indices uniformly; for a range with `log`, uniformly in the logarithm of the values."""
        low, high = self.domain.low, self.domain.high
        if self.domain.log:
            whole = self.size is not None
            ends = np.log([low - 0.5, high + 0.5] if whole else [low, high])
            numbers = np.exp(rng.uniform(ends[0], ends[1], count))
            return np.clip(np.rint(numbers), low, high).astype(np.int64) - low if whole else np.clip(numbers, low, high)
        if self.size is None:
            return rng.uniform(low, high, count)
        return rng.integers(0, self.size, count)

    def chances(self) -> Array:
        """The probability of each index in `drawn`."""
        size = self.size
        assert size is not None
        if not self.domain.log:
            return np.full(size, 1 / size)
        edges = np.log(np.arange(size + 1) + self.domain.low - 0.5)
        return np.asarray(np.diff(edges) / (edges[-1] - edges[0]))

    def to_json(self) -> dict[str, Any]:
        """The dimension as JSON."""
        domain = self.domain
        if domain.low is None:
            allowed: dict[str, Any] = {"values": [_listed(value) for value in domain.values]}
        else:
            allowed = {"low": domain.low, "high": domain.high, "step": domain.step, "log": domain.log}
        head = {"parameter": self.parameter, "element": self.element, "kind": self.kind}
        return {**head, **allowed, "own": _listed(self.default), "when": self.condition, "size": self.size}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Dimension:
        """Reads a dimension from the JSON of `to_json`."""
        kind = read["kind"]
        if "values" in read:
            domain = Domain(tuple(revived(value, kind) for value in read["values"]))
        else:
            domain = Domain(low=read["low"], high=read["high"], step=read["step"], log=read["log"])
        return cls(read["parameter"], read["element"], kind, domain, revived(read["own"], kind), read["when"])


def revived(value: Any, kind: str) -> Any:
    """Converts a value from JSON, numpy or torch to a value of a candidate."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()  # a scalar of numpy or torch
    if isinstance(value, list | tuple):
        return tuple(revived(item, "") for item in value)
    if kind in WRITTEN and isinstance(value, str):
        return WrittenValue(value)
    return value + 0.0 if kind == "float" and is_int(value) else value


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


# --- from a network ---


def dimensions_of(network: Network, open_names: Iterable[str], reads: Reads) -> tuple[Dimension, ...]:
    """The dimensions of some parameters, in the order of the file.

    Args:
        network: The network of the values in the file.
        open_names: The parameters that vary.
        reads: The names that the declarations of the network read.

    Raises:
        ArchError: E205 if a domain, or the value of a parameter with `when`, depends on another dimension. E205 also
            if an int is beyond 2^62, or if a list has another length than its domain.
    """
    names = list(open_names)
    dimensions: list[Dimension] = []
    for name in names:
        parameter = network.parameters[name]
        assert parameter.domain is not None
        reads.check(name, names)
        if parameter.domain.each:
            dimensions += _elements(parameter)
        else:
            dimensions.append(dimension_of(parameter, None, parameter.domain, parameter.value))
    return tuple(dimensions)


def _elements(parameter: Parameter) -> list[Dimension]:
    assert parameter.domain is not None
    domains, values = parameter.domain.each, parameter.value
    if len(values) != len(domains):
        message = f"`{parameter.name}` has {len(values)} elements; its domain has {len(domains)}"
        raise error("E205", message, parameter.span)
    return [dimension_of(parameter, place, domain, values[place]) for place, domain in enumerate(domains)]


def dimension_of(parameter: Parameter, element: int | None, domain: Domain, default: Any) -> Dimension:
    """The dimension of a parameter, or of an element of a list, with a domain of values of the language.

    Raises:
        ArchError: E205 if an int is beyond 2^62.
    """
    numbers = [n for n in (domain.low, domain.high, domain.step, *domain.values) if is_int(n)]
    for number in numbers:
        if abs(number) > LARGEST // 2:
            message = f"a domain can contain ints below {LARGEST // 2:,} in magnitude; found {show(number)}"
            raise error("E205", message[:200], parameter.span)
    condition = parameter.condition.span.text if parameter.condition is not None else ""
    allowed = domain._replace(values=tuple(map(plain, domain.values)))
    kind = type_name(parameter.value if element is None else default)
    return Dimension(parameter.name, element, kind, allowed, plain(default), " ".join(condition.split()))


# --- what decides what ---


class Reads:
    """The names that the declarations of a network read, directly and through other declarations.

    Attributes:
        params: The declarations of parameters, by name.
        elsewhere: Every name that some declaration reads.
    """

    def __init__(self, declared: Iterable[s.Entry]) -> None:
        self.params: dict[str, s.Param] = {}
        self._direct: dict[str, frozenset[str]] = {}
        self.elsewhere: set[str] = set()
        for entry in declared:
            if isinstance(entry, s.Param):
                self.params[entry.name.text] = entry
                self._direct[entry.name.text] = names_in(entry.default)
                self.elsewhere |= names_in((entry.default, entry.domain, entry.condition))
            elif isinstance(entry, s.Let | s.Fn | s.Template):
                body = entry.value if isinstance(entry, s.Let) else entry[2:]
                self._direct[entry.name.text] = names_in(body)
                self.elsewhere |= names_in(body)
            else:
                self.elsewhere |= names_in(entry)

    def dimensions(self, part: Any, names: Iterable[str]) -> list[str]:
        """The parameters among `names` that a part of a syntax tree reads, also through `let`, `fn` and parameters."""
        wanted, seen, reached = set(names), set(), set()
        pending = set(names_in(part))
        while pending:
            name = pending.pop()
            seen.add(name)
            if name in wanted:
                reached.add(name)
            else:
                pending |= self._direct.get(name, frozenset()) - seen
        return [name for name in self.params if name in reached]

    def check(self, name: str, names: Iterable[str]) -> None:
        """Checks that no other dimension changes the domain of a parameter, or its value while it is inactive.

        Raises:
            ArchError: E205 at the domain or the value.
        """
        entry = self.params[name]
        names = set(names)
        self._refuse(entry, entry.domain, names, "its domain", "write a wider domain and a `require`")
        if entry.condition is not None:
            self._refuse(entry, entry.default, names, "its value while its `when` does not hold", "write a constant")

    def _refuse(self, entry: s.Param, part: Any, names: Iterable[str], subject: str, hint: str) -> None:
        deciding = self.dimensions(part, names)
        if deciding:
            message = f"`{entry.name.text}` cannot vary: {subject} depends on `{deciding[0]}`, which varies too"
            raise error("E205", message, part.span, hint=hint)


def names_in(part: Any) -> frozenset[str]:
    """The names that occur in a part of a syntax tree."""
    names: set[str] = set()
    pending = [part]
    while pending:
        node = pending.pop()
        if isinstance(node, s.Name):
            names.add(node.text)
        elif isinstance(node, tuple) and not isinstance(node, Span):
            pending += node
    return frozenset(names)
