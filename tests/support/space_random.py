"""Random spaces: random networks with parameters in the place of constants, and random values for these."""

from __future__ import annotations

import random
import re
from typing import Any

from random_networks import Writer
from space_oracle import space_from

from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.semantics.values import List
from resnext_dsl.spaces.space import Space

CONSTANT = re.compile(r"(?<![\w.])(?:true|false|\d+x\d+|\d+)(?![\w.])")


def opened(text: str, source: random.Random, most: int) -> str:
    """A body with at most so many of its constants as parameters, declared before it."""
    places = list(CONSTANT.finditer(text))
    chosen = sorted(source.sample(places, min(most, len(places))), key=re.Match.start, reverse=True)
    declared = []
    for number, place in enumerate(chosen):
        declared.append(f"    param p{number} = {place.group()}")
        text = text[: place.start()] + f"p{number}" + text[place.end() :]
    return "\n".join([*declared, text])


def drawn_space(source: random.Random, most: int) -> Space:
    """A random space; drawn again until its own network is one."""
    while True:
        body = opened(Writer(source).network(), source, source.randint(1, most))
        try:
            return space_from(f"network net {{\n    input image: 8x12x12\n{body}\n}}\n")
        except ArchError:
            continue


def near(value: Any, source: random.Random) -> Any:
    """A value like another, often the same."""
    if isinstance(value, bool):
        return source.random() < 0.5
    if isinstance(value, int):
        return max(0, source.choice([value, value, value + 1, value * 2, value // 2, value - 1, source.randint(1, 8)]))
    if isinstance(value, float):
        return value * source.choice([1, 1, 0.5, 0.9, 1.1, 1.4])
    if isinstance(value, List):
        return [near(item, source) if source.random() < 0.4 else _listed(item) for item in value]
    return tuple(near(size, source) for size in value)


def _listed(value: Any) -> Any:
    return list(map(_listed, value)) if isinstance(value, List) else value


def columns_near(space: Space, source: random.Random, count: int, changed: float = 0.5) -> dict[str, list[Any]]:
    """Values of all parameters that are numbers, shapes or lists, for so many candidates, many of them valid."""
    varied = {
        name: parameter.value
        for name, parameter in space.network.parameters.items()
        if isinstance(parameter.value, bool | int | float | tuple)
    }
    return {
        name: [near(value, source) if source.random() < changed else _listed(value) for _ in range(count)]
        for name, value in varied.items()
    }
