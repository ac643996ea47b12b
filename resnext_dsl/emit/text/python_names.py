"""Names and literals in emitted source. Nothing else of a spec gets into the source."""

from __future__ import annotations

import builtins
import keyword
import math
import re
from collections.abc import Collection

from resnext_dsl.emit.blocks.module_block import Value

_ENDINGS = ("Error", "Exception", "Exit", "Group", "Interrupt", "Iteration", "Warning")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# A list in full, because interactive shells add names to `builtins`.
_FUNCTIONS = frozenset(
    """
    abs aiter all anext any ascii bin bool breakpoint bytearray bytes callable chr classmethod compile complex
    delattr dict dir divmod enumerate eval exec exit filter float format frozenset getattr globals hasattr hash
    help hex id input int isinstance issubclass iter len license list locals map max memoryview min next object
    oct open ord pow print property quit range repr reversed round set setattr slice sorted staticmethod str
    sum super tuple type vars zip
    """.split()  # noqa: SIM905 (a list would take a screen)
)
_EXCEPTIONS = [name for name, value in vars(builtins).items() if isinstance(value, type) and name.endswith(_ENDINGS)]
_FILE = ["self", "torch", "nn", "F", "Tensor", "NamedTuple", "checkpoint", "Chain", "i"]

RESERVED = frozenset({*keyword.kwlist, *keyword.softkwlist, *_FUNCTIONS, *_EXCEPTIONS, *_FILE})
"""Names that an emitted variable or class must not hide."""


def identifier(name: str) -> str:
    """The name itself.

    Raises:
        ValueError: If it is no ASCII identifier.
    """
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"not a name: {name!r}")
    return name


def literal(value: Value) -> str:
    """The literal that evaluates to the value.

    Raises:
        ValueError: If the value is not None, a bool, int, float, identifier-like str, or a tuple of them.
    """
    if type(value) is tuple:
        inner = ", ".join(map(literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if type(value) is float and not math.isfinite(value):
        return f'float("{value}")'
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    if type(value) is str and _IDENTIFIER.fullmatch(value):
        return f'"{value}"'
    raise ValueError(f"not a literal: {value!r}")


def place_literal(name: str) -> str:
    """The hierarchical name of a scope or node as a string literal that ends in a dot.

    Raises:
        ValueError: If a part of it is neither a number nor an ASCII identifier.
    """
    for part in name.split("."):
        if not (part.isascii() and part.isdigit()):
            identifier(part)
    return f'"{name}."'


def camel_case(name: str) -> str:
    """`conv_bn_act` as `ConvBnAct`; digits on both sides keep their underscore."""
    words = [word for word in identifier(name).split("_") if word]
    joined = ""
    for word in words:
        joint = "_" if joined[-1:].isdigit() and word[0].isdigit() else ""
        joined += joint + word[0].upper() + word[1:]
    return joined if joined and not joined[0].isdigit() else f"Net{joined}"


def unused(name: str, taken: Collection[str]) -> str:
    """The name, or the first of `name2`, `name3`, ... that is free."""
    name = f"{name}_" if name in RESERVED else name
    number, free = 2, name
    while free in taken or free in RESERVED:
        free, number = f"{name}{number}", number + 1
    return free
