"""Every candidate of a small space by brute force: what Python's own loops say, not the space.

A space is written twice, as a text of the language and as domains and conditions of Python.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from space_oracle import space_from

import resnext_dsl as rx
from resnext_dsl.budgets.usage import usage
from resnext_dsl.spaces.candidate import Candidate
from resnext_dsl.spaces.space import Space

Row = Mapping[str, Any]


class Twin(NamedTuple):
    """A space in both writings.

    Attributes:
        values: Parameter -> all its values; of a list the values of each element.
        own: Parameter -> the file's value.
        when: Parameter -> its condition, given the values of those before it.
    """

    text: str
    values: dict[str, list[Any]]
    own: dict[str, Any]
    when: dict[str, Callable[[Row], bool]]

    @property
    def space(self) -> Space:
        """The space of the text."""
        return space_from(self.text)

    def candidates(self) -> list[dict[str, Any]]:
        """Every candidate, before requirements and budgets, without what is not there."""
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in itertools.product(*self.values.values()):
            seen: dict[str, Any] = {}
            there: dict[str, Any] = {}
            for name, value in zip(self.values, row, strict=True):
                here = name not in self.when or self.when[name](seen)
                seen[name] = value if here else self.own[name]
                if here:
                    there[name] = value
            found.setdefault(tuple(there.items()), there)
        return list(found.values())

    def kept(self, *budgets: str) -> list[dict[str, Any]]:
        """Those of them whose own network checks, one by one."""
        key = self.text, budgets
        if key not in _KEPT:
            _KEPT[key] = [row for row in self.candidates() if keeps(self.text, row, *budgets)]
        return _KEPT[key]


def keeps(text: str, row: Row, *budgets: str) -> bool:
    """Whether the network of these values is one, and keeps its budgets."""
    network = _network(text, row)
    try:
        return network is not None and all(line.met for line in usage(network.limits_of(budgets), network))
    except rx.ArchError:
        return False


def _network(text: str, row: Row) -> rx.Network | None:
    """The network of these values; several budgets look at the same one."""
    key = text, repr(row)  # `1` and `True` are different values
    if key not in _NETWORKS:
        if len(_NETWORKS) > MOST_NETWORKS:
            _NETWORKS.clear()
        try:
            _NETWORKS[key] = rx.loads(text, **{name: _given(value) for name, value in row.items()})
        except rx.ArchError:
            _NETWORKS[key] = None
    return _NETWORKS[key]


MOST_NETWORKS = 4000
_NETWORKS: dict[tuple[str, str], rx.Network | None] = {}
_KEPT: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = {}


def _given(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def as_set(rows: list[dict[str, Any]]) -> set[Candidate]:
    """Rows as candidates."""
    return {Candidate(row) for row in rows}


TWIN = Twin(
    """network n {
    input image: 3x16x16
    param se = true in {true, false}
    param squeeze = 4 in {2, 4} when se
    param deep = 2 in 1..3 when se and squeeze == 4
    param depths = [1, 2] in [1..2, {2, 5}]
    param act = relu in {relu, silu, bn(eps=1e-3)}
    param width = 8 in 4..16 step 4
    require width != 12, "no twelve"
    let wide = squeeze * width if se else width
    stem { conv(wide, 3x3, stride=2); act }
    stage a repeat depths[0] * deep { conv(width, 3x3); act }
    stage b repeat depths[1] { residual { conv(width, 3x3) } }
    head { avgpool(global); flatten; linear(10) }
    budget { flops <= 300K; depth <= 11 }
    budget part { a.flops <= 80K; b.depth == 2; params < 4K }
    budget other(input=3x8x8) { flops in 20K..100K }
    budget memory { peak_activations <= 12KB; params <= 3K }
    budget bound { params <= 300 * width }
    budget never { flops < 1K }
}
""",
    {
        "se": [True, False],
        "squeeze": [2, 4],
        "deep": [1, 2, 3],
        "depths": list(itertools.product([1, 2], [2, 5])),
        "act": ["relu", "silu", "bn(eps=0.001)"],
        "width": [4, 8, 12, 16],
    },
    {"se": True, "squeeze": 4, "deep": 2, "depths": (1, 2), "act": "relu", "width": 8},
    {"squeeze": lambda row: row["se"], "deep": lambda row: row["se"] and row["squeeze"] == 4},
)


def drawn_twin(source: random.Random) -> Twin:
    """A random small space whose parameters decide about each other."""
    declared: list[str] = []
    values: dict[str, list[Any]] = {}
    own: dict[str, Any] = {}
    when: dict[str, Callable[[Row], bool]] = {}
    for number in range(source.randint(1, 5)):
        name = f"p{number}"
        size = source.randint(1, 4)
        first = source.randint(1, 6)
        if source.random() < 0.3:
            options = source.sample(range(1, 20), size)
            domain = "{" + ", ".join(map(str, options)) + "}"
        else:
            step = source.randint(1, 3)
            options = [first + step * place for place in range(size)]
            domain = f"{first}..{options[-1] + source.randint(0, step - 1)} step {step}"
        values[name], own[name] = options, source.choice(options)
        line = f"param {name} = {own[name]} in {domain}"
        if number and source.random() < 0.6:
            other = f"p{source.randrange(number)}"
            most = source.randint(1, 8)
            deciding = f"q{number}" if source.random() < 0.3 else other
            if deciding != other:
                declared.append(f"let q{number} = {other} + 0")
            line += f" when {deciding} > {most}"
            when[name] = lambda row, other=other, most=most: row[other] > most
        declared.append(line)
    total = " + ".join(values)
    taken = (sum(own.values()) + source.randint(1, 4)) % 5
    text = "network n {\n    input image: 2x8x8\n    " + "\n    ".join(declared)
    text += f"\n    require ({total}) % 5 != {taken}\n    conv({total}, 1x1)\n    budget {{ params <= {source.randint(20, 150)} }}\n}}\n"
    return Twin(text, values, own, when)
