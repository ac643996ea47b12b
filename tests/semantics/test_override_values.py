"""Values of overrides: one grammar, in which the names and values that commands print can be given back."""

from __future__ import annotations

from typing import Any

import pytest

import resnext_dsl as rx
from resnext_dsl.semantics.values import source_text

TEXT = """network n {
    input image: 3x8x8
    param word: string = "a"
    param kernel = 3x3
    param size = 3x8x8
    param depths = [1, 2]
    param rates: list = [0.5, 1]
    param act = relu in {relu, leaky_relu(0.1)}
    conv(4, kernel); if word == "fan_in" { act }
    repeat depths[0] { bn }
    repeat depths[-1] { relu }
    if rates[0] > 0.75 { conv(5, size[0]) }
}
"""


def value(name: str, **overrides: Any) -> Any:
    return rx.loads(TEXT, **overrides).parameters[name].value


@pytest.mark.parametrize(
    ("overrides", "name", "expected"),
    [
        ({"word": '"fan_in"'}, "word", "fan_in"),
        ({"word": "fan_in"}, "word", "fan_in"),
        ({"word": "fan in"}, "word", "fan in"),
        ({"kernel": "5"}, "kernel", (5, 5)),
        ({"kernel": 5}, "kernel", (5, 5)),
        ({"kernel": "1x5"}, "kernel", (1, 5)),
        ({"depths[0]": "3"}, "depths", (3, 2)),
        ({"depths[0]": 3, "depths[1]": 4}, "depths", (3, 4)),
        ({"depths[-1]": "7"}, "depths", (1, 7)),
        ({"depths": [5, 6], "depths[1]": 9}, "depths", (5, 9)),
        ({"depths[1]": 9, "depths": "[5, 6]"}, "depths", (5, 9)),
        ({"rates[0]": 1}, "rates", (1.0, 1)),
        ({"kernel[1]": 5}, "kernel", (3, 5)),
        ({"act": "leaky_relu(0.1)"}, "word", "a"),
        ({"word": 'd"e'}, "word", 'd"e'),
        ({"word": '"d\\"e"'}, "word", 'd"e'),
        ({"word": "relu"}, "word", "relu"),
        ({"word": "3"}, "word", "3"),
        ({"word": "true"}, "word", "true"),
        ({"word": "depths"}, "word", "depths"),
        ({"word": '"a" if 1 > 2 else "b"'}, "word", "b"),
        ({"kernel": "[1, 5]"}, "kernel", (1, 5)),
        ({"size": "[3, 9, 9]"}, "size", (3, 9, 9)),
    ],
)
def test_values(overrides: dict[str, Any], name: str, expected: object) -> None:
    assert value(name, **overrides) == expected


@pytest.mark.parametrize(
    ("overrides", "code", "message"),
    [
        ({"depths[2]": "3"}, "E205", "index 2 is out of range: `depths` has 2 elements, counted from 0"),
        ({"depths[-3]": "3"}, "E205", "index -3 is out of range: `depths` has 2 elements, counted from 0"),
        ({"depths[0]": "1.5"}, "E204", "`depths[0]` must be an int; found 1.5"),
        ({"depths[0]": "relu"}, "E204", "`depths[0]` must be an int; found relu"),
        ({"word[0]": "3"}, "E204", 'only a list or a shape has elements; `word` is "a"'),
        ({"depth[0]": "3"}, "E201", "network `n` has no parameter `depth`"),
        ({"size": "5"}, "E204", "`size` must be a shape; found 5"),
        ({"depths[0]": "depths"}, "E101", "`depths` has no value here, because its own value is computed from it"),
    ],
)
def test_wrong_values(overrides: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(TEXT, **overrides)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == (code, message)


def test_a_quote_that_is_not_closed_is_no_word() -> None:
    with pytest.raises(rx.ArchError, match="cannot read the value"):
        rx.loads(TEXT, word='"fan_in')


@pytest.mark.parametrize("name", ["word", "kernel", "size", "depths", "rates", "act"])
def test_the_text_of_a_value_gives_the_value_back(name: str) -> None:
    default = value(name)
    assert value(name, **{name: source_text(default)}) == default


def test_a_long_text_is_read_to_its_end() -> None:
    numbers = list(range(100, 400))
    assert value("depths", depths=str(numbers)) == tuple(numbers)
    word = "a" * 500
    assert value("word", word=word) == word
    with pytest.raises(rx.ArchError, match="unknown name `thre`") as caught:
        rx.loads(TEXT, depths=f"{str(numbers)[:-1]}, thre]")
    assert len(str(caught.value)) < 500
