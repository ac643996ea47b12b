"""Recognizes an evaluator whose source has changed between two runs of one study."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType
from typing import Any


def version_of(function: Callable[..., Any] | None) -> str:
    """A hash of the syntax trees of a function and of the functions of its module that it uses.

    Comments and the layout do not count. The result is "" if there is no source, or if the function belongs to this
    package.
    """
    while isinstance(function, partial):
        function = function.func
    if function is not None and not isinstance(function, FunctionType | type):
        function = getattr(function, "__func__", type(function))
    if function is None or str(function.__module__).partition(".")[0] == __package__.partition(".")[0]:
        return ""
    try:
        trees = [_tree(part) for part in _used(function)]
    except (OSError, TypeError, SyntaxError):
        return ""
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()[:16]


def _tree(part: Any) -> str:
    return ast.dump(ast.parse(textwrap.dedent(inspect.getsource(part))))


def _used(function: Any) -> list[Any]:
    """A function, and the functions and classes of its module that it refers to, directly or not."""
    parts = [function]
    for part in parts:
        for name in _names(part):
            value = getattr(inspect.getmodule(part), name, None)
            same = getattr(value, "__module__", None) == function.__module__
            if isinstance(value, FunctionType | type) and same and value not in parts:
                parts.append(value)
    return parts


def _names(part: Any) -> Iterator[str]:
    """The global names in the code of a function, or of the methods of a class."""
    functions = [part] if isinstance(part, FunctionType) else vars(part).values()
    codes: list[CodeType] = [one.__code__ for one in functions if isinstance(one, FunctionType)]
    for code in codes:
        yield from code.co_names
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
