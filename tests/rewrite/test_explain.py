"""The report of rewriting, as text and as JSON: each place with its line and column, and the place of the cause."""

from __future__ import annotations

from typing import Any

import resnext_dsl as rx
from resnext_dsl.networks.network import Network
from resnext_dsl.rewrite.explain import as_json, explain

TEXT = """network net {
    input image: 8x6x6
    split 2 { conv(4, 1x1) } merge concat
    split 3 { conv(4, 3x3); relu } merge concat
    split { path { conv(4, 1x1) } path { conv(4, 3x3) } } merge concat
    repeat 2 { split { path { relu } path { gelu } } merge add }
}
"""


def place(line: int, word: str, which: int = 0) -> tuple[int, int]:
    """The line and column of a word of the text, counted from 1."""
    column = -1
    for _ in range(which + 1):
        column = TEXT.splitlines()[line - 1].index(word, column + 1)
    return line, column + 1


def shown(at: tuple[int, int]) -> str:
    return f"<spec>:{at[0]}:{at[1]}"


def rewritten() -> tuple[Network, Any]:
    network = rx.loads(TEXT)
    return network, network.rewrite()


def test_each_place_is_explained_with_its_line_and_column() -> None:
    network, result = rewritten()
    lines = explain(network.ir, result)
    assert lines[:-3] == [
        f"rewritten: `concat1` at {shown(place(3, 'concat'))}: same_input (2 into one)",
        f"rewritten: `concat2` at {shown(place(4, 'concat'))}: same_input, channelwise (3 into one)",
        f"left alone: `concat3` at {shown(place(5, 'concat'))}: `kernel` of `conv` is 1x1 in one path and 3x3 in another "
        f"({shown(place(5, 'conv', 1))})",
        f"left alone: `repeat.0.add` and 1 more at {shown(place(6, 'add'))}: the paths end in `relu` and `gelu`; only convolutions "
        f"and linear layers can be summed ({shown(place(6, 'relu'))})",
    ]


def test_each_place_is_data_with_its_line_and_column() -> None:
    network, result = rewritten()
    report = as_json(network.ir, result)

    def at(entry: dict[str, Any]) -> tuple[int, int]:
        assert entry["file"] == "<spec>"
        return entry["line"], entry["column"]

    assert [(entry["place"], entry["number"], at(entry)) for entry in report["fired"]] == [
        ("concat1", 2, place(3, "concat")),
        ("concat2", 3, place(4, "concat")),
    ]
    assert [(entry["place"], at(entry), at(entry["cause"])) for entry in report["left"]] == [
        ("concat3", place(5, "concat"), place(5, "conv", 1)),
        ("repeat.0.add", place(6, "add"), place(6, "relu")),
        ("repeat.1.add", place(6, "add"), place(6, "relu")),
    ]
    assert report["before"]["params"] == report["after"]["params"] == network.cost().params
    assert report["before"]["nodes"] == len(network.ir.nodes) - 1  # the input is no operator
    assert report["after"]["nodes"] == len(result.graph.nodes) - 1
    assert report["invertible"] is True
