"""A candidate: one value for each active parameter of a search space. It holds no reference to the space."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resnext_dsl.semantics.values import FUNCTIONS, List, OperatorValue, TemplateValue, source_text


class WrittenValue(str):
    """The source text of an operator, a template, a function or a shape. Strings of the language are plain `str`."""

    __slots__ = ()


class Candidate(Mapping[str, Any]):
    """Values of parameters; immutable, hashable, compared by value.

    A value is an int, float, bool or str, or a tuple if the parameter is a list. Operators, templates, functions and
    shapes are source text: `candidate["act"] == "relu"`. A parameter is left out if its `when` does not hold. `str` of
    a candidate gives the flags that reproduce it: `--set width=6 --set cardinality=16`.
    """

    __slots__ = ("_names", "_values")
    _names: tuple[str, ...]
    _values: tuple[Any, ...]

    def __init__(self, values: Mapping[str, Any]) -> None:
        _set_names(self, tuple(values))
        _set_values(self, tuple(map(_frozen, values.values())))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a candidate is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a candidate is immutable: {name} cannot be deleted")

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[self._names.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Candidate):
            return NotImplemented
        return self._values == other._values and self._names == other._names

    def __hash__(self) -> int:
        return hash((self._names, self._values))

    def __repr__(self) -> str:
        return f"Candidate({', '.join(f'{name}={text_of(value)}' for name, value in self.items())})"

    def __str__(self) -> str:
        return " ".join(f"--set {shlex.quote(f'{name}={text_of(value)}')}" for name, value in self.items())

    def to_json(self) -> dict[str, Any]:
        """The values by name, with lists as JSON lists; `Space.candidate` turns them into a candidate again."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self.items()}


_set_names = Candidate._names.__set__  # type: ignore[attr-defined]
_set_values = Candidate._values.__set__  # type: ignore[attr-defined]


def candidates_of(names: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> list[Candidate]:
    """Candidates of the same parameters, one for each row of values.

    It skips `Candidate.__init__`, because a caller may need a million candidates.
    """
    candidates = []
    new = object.__new__
    for row in rows:
        candidate = new(Candidate)
        _set_names(candidate, names)
        _set_values(candidate, row)
        candidates.append(candidate)
    return candidates


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def plain(value: Any) -> Any:
    """Converts a value of the language to a value of a candidate."""
    if isinstance(value, List):
        return tuple(map(plain, value))
    if isinstance(value, (tuple, OperatorValue, TemplateValue, *FUNCTIONS)):
        return WrittenValue(source_text(value))
    return value


def text_of(value: Any) -> str:
    """The source text of a candidate's value."""
    if isinstance(value, WrittenValue):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(text_of, value))}]"
    return source_text(value)


def override_of(value: Any) -> Any:
    """Converts a candidate's value to an override that `load` takes."""
    numbers = isinstance(value, tuple) and all(isinstance(item, int | float) for item in value)
    return list(value) if numbers else text_of(value) if isinstance(value, str | tuple) else value
