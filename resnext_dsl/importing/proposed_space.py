"""Proposes domains for the parameters of an imported text, so that a search starts in the neighbourhood of a model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from resnext_dsl.formatter.format import format_text
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.semantics.spec_files import text_source
from resnext_dsl.syntax import nodes as s
from resnext_dsl.syntax.parse import parse

KERNELS = (1, 3, 5, 7)
"""Sides of the kernels that are proposed beside that of the model."""

_SHAPE = re.compile(r"[0-9]+(x[0-9]+)+")


def with_domains(text: str) -> str:
    """The text with a domain for each parameter whose name tells its meaning; every value of the text stays as it is.

    Args:
        text: A spec with one network.

    Returns:
        The same spec, in which `depths`, `cardinality`, `width`, `channels`, `kernel` and `resolution` have domains.
    """
    source = text_source(text, "<text>", DEFAULTS)
    places: list[tuple[int, str]] = []
    for item in parse(source).items:
        if isinstance(item, s.NetworkDeclaration):
            for entry in item.entries:
                if isinstance(entry, s.Param) and entry.domain is None:
                    domain = _domain(entry.name.text, entry.default.span.text)
                    if domain:
                        places.append((entry.default.span.end, f" in {domain}"))
    for end, words in reversed(places):
        text = text[:end] + words + text[end:]
    return format_text(text_source(text, "<text>", DEFAULTS))


def _domain(name: str, written: str) -> str:
    """The domain of a parameter by its name and value; "" if none is proposed."""
    propose = _PROPOSALS.get(name)
    value = _value(written)
    if propose is None or value is None:
        return ""
    if not isinstance(value, list):
        return propose(value)
    each = [propose(one) for one in value]
    return f"[{', '.join(each)}]" if all(each) else ""


def _value(written: str) -> Any:
    """An int, a list of ints or the sides of a shape; None for any other expression."""
    if _SHAPE.fullmatch(written):
        return tuple(map(int, written.split("x")))
    try:
        value = json.loads(written)
    except ValueError:
        return None
    ints = value if isinstance(value, list) else [value]
    return value if ints and all(isinstance(one, int) and not isinstance(one, bool) for one in ints) else None


def _depth(value: Any) -> str:
    """From one pass to twice as many."""
    return f"1..{max(2 * value, 2)}" if isinstance(value, int) and value > 0 else ""


def _channels(value: Any) -> str:
    """From half to twice as many, in steps of a power of two that divides the value: about a dozen values."""
    if not isinstance(value, int) or value < 2:
        return ""
    step = 1
    while value % (2 * step) == 0 and 16 * step <= value:
        step *= 2
    low = value - (value // 2 // step) * step
    return f"{low}..{value + (value // step) * step} step {step}" if step > 1 else f"{low}..{2 * value}"


def _cardinality(value: Any) -> str:
    """Powers of two up to twice the value, and the value."""
    if not isinstance(value, int) or value < 1:
        return ""
    powers = {2**power for power in range((2 * value).bit_length())} | {value}
    return "{" + ", ".join(map(str, sorted(powers))) + "}"


def _kernel(value: Any) -> str:
    """Square kernels with odd sides."""
    if not isinstance(value, tuple) or len(set(value)) > 1:
        return ""
    sides = sorted({*KERNELS[1:], value[0]})
    return "{" + ", ".join("x".join([str(side)] * len(value)) for side in sides) + "}"


def _resolution(value: Any) -> str:
    """Multiples of 32 from half the value to half as much again, if the value is one."""
    if not isinstance(value, int) or value < 64 or value % 32:
        return ""
    low = max(32, value // 2 // 32 * 32)
    return f"{low}..{value * 3 // 2 // 32 * 32} step 32"


_PROPOSALS: dict[str, Callable[[Any], str]] = {
    "depths": _depth,
    "channels": _channels,
    "width": _channels,
    "cardinality": _cardinality,
    "kernel": _kernel,
    "resolution": _resolution,
}
