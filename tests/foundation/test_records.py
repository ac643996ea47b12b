from __future__ import annotations

import copy
import pickle
import typing

import pytest

from resnext_dsl.foundation.records import NamedTuple


class Place(NamedTuple):
    """A place."""

    line: int
    column: int = 1
    text: str = ""

    @property
    def shown(self) -> str:
        """Line and column."""
        return f"{self.line}:{self.column}"


class Known(typing.NamedTuple):
    line: int
    column: int = 1
    text: str = ""


MADE = [((1,), {}), ((1, 2, "a"), {}), ((1,), {"text": "b"}), ((), {"column": 3, "line": 2})]
WRONG = [((), {}), ((1, 2, "a", 4), {}), ((1,), {"line": 2}), ((1,), {"row": 2})]


@pytest.mark.parametrize(("values", "named"), MADE)
def test_they_are_what_named_tuples_of_typing_are(values: tuple, named: dict) -> None:
    place, known = Place(*values, **named), Known(*values, **named)
    assert place == known
    assert hash(place) == hash(known)
    assert tuple(place) == tuple(known)
    assert repr(place) == repr(known).replace("Known", "Place")
    assert place._asdict() == known._asdict()
    assert place._fields == known._fields
    assert place._replace(column=9) == known._replace(column=9)
    assert type(place._replace(column=9)) is Place
    assert place.shown == f"{known.line}:{known.column}"
    for again in (copy.copy(place), copy.deepcopy(place), pickle.loads(pickle.dumps(place))):
        assert again == place
        assert type(again) is Place


@pytest.mark.parametrize(("values", "named"), WRONG)
def test_arguments_that_do_not_fit(values: tuple, named: dict) -> None:
    with pytest.raises(TypeError) as ours:
        Place(*values, **named)
    with pytest.raises(TypeError) as theirs:
        Known(*values, **named)
    assert str(ours.value).partition(")")[2] == str(theirs.value).partition(")")[2]


def test_they_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Place(1).line = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Place(1).other = 2  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="row"):
        Place(1)._replace(row=2)


def test_they_match_patterns() -> None:
    match Place(1, 2, "a"):
        case Place(line, column, text):
            assert (line, column, text) == (1, 2, "a")
