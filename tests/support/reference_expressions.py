"""Text and expressions for the reference interpreter: lark's trees of a file, its names, the value of an expression.

Lark parses the text by `grammar/arch.lark`, with lark's own lexer; imports nothing from the package.
"""

from __future__ import annotations

import math
import re
from collections import ChainMap
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import lark
from reference_operators import SIGNATURES, RejectedError, parameters_of

ROOT = Path(__file__).parents[2]
TOKENS = re.compile(
    r'#[^\n]*|[ \t\f]+|\n|"(?:\\["\\]|[^"\\\n])*"|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\w*|\w+|\.\.|[<>=!]=|//|\*\*|.'
)
CONTINUES = {"merge", "shortcut", "else", "as", "in", "when", "{", "}"}
MULTIPLES = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
OPTIONS = {
    *("same", "same_upper", "valid", "global", "none", "nearest", "bilinear", "auto", "projection", "pad", "skip"),
    *("scaled", "constant", "reflect", "replicate"),
}
BUILTINS = {"len": len, "sqrt": math.sqrt, "log2": math.log2, "floor": math.floor, "ceil": math.ceil, "range": range}
BUILTINS |= {"min": min, "max": max, "sum": sum, "abs": abs, "round": round, "count": lambda items, v: items.count(v)}
BUILTINS |= {"zip": lambda *lists: [list(row) for row in zip(*lists, strict=True)]}
CALLED = ("first", "last", "divisible")
COMPARISONS = {
    "==": lambda a, b: a == b and (type(a) is type(b) or (_is_number(a) and _is_number(b))),
    "!=": lambda a, b: not COMPARISONS["=="](a, b),
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
ARITHMETIC = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}


class Shape(tuple[int, ...]):
    """A shape; a list is a Python list."""


class Callee(NamedTuple):
    """An operator (its name) or a template (its tree and the names around it), and the arguments filled in so far."""

    what: Any
    scope: Any = None
    arguments: Mapping[str, Any] = MappingProxyType({})


class Function(NamedTuple):
    """A `fn` and the names around it."""

    tree: lark.Tree
    scope: ChainMap[str, Any]


class Builtin(NamedTuple):
    """A built-in function."""

    name: str


class Value(NamedTuple):
    """A value of the network: the position of the operation that gives it."""

    at: int


Flow = Value | list[Value]
"""A value of the network, or a list of values."""


class Here(NamedTuple):
    """The state of a template call or of the network: its named values, the value that entered, the running value."""

    values: dict[str, Flow]
    entering: Flow
    running: Flow


# --- text ---


@cache
def parser() -> lark.Lark:
    """Lark's parser of the language, with lark's own lexer."""
    return lark.Lark((ROOT / "grammar/arch.lark").read_text(encoding="utf-8"), start="file", parser="lalr")


@cache
def parsed(text: str) -> list[lark.Tree]:
    """The items of a file, as lark's trees."""
    return trees(parser().parse(separated(text)))


def separated(text: str) -> str:
    """The text with one `;` between statements."""
    done, brackets, before, ended = [], [], "{", ""
    for word in TOKENS.findall(text.replace("\r\n", "\n").replace("\r", "\n")):
        if word in ("\n", ";"):
            ended = word
        if word[0] in "#;" or word.isspace():
            done.append(word if word != ";" else " ")
            continue
        in_body = not brackets or brackets[-1] == "{"
        operand = re.fullmatch(r'.*[\w")\]}]', before) and before not in ("and", "or", "not", "in", "if", "else", "as")
        stops = ended or (before == "}" and word not in (",", ")", "]", "from"))
        if in_body and operand and stops and word not in CONTINUES:
            done.append(";")
        if word in "([{":
            brackets.append("(" if before == "in" or not in_body else word)
        elif word in ")]}":
            brackets.pop()
        done.append(word)
        before, ended = word, ""
    return "".join(done)


def trees(tree: lark.Tree | None) -> list[lark.Tree]:
    """The parts of a tree that are trees."""
    return [child for child in tree.children if isinstance(child, lark.Tree)] if tree is not None else []


def aliases_of(tree: lark.Tree) -> list[str]:
    """The names at the end of a statement, after `as`."""
    return list(map(str, tree.children[-1].children)) if tree.children[-2] is not None else []


def names_of(text: str, folder: Path) -> dict[str, Any]:
    """The names of a file; `<network>` is its network: the tree, its names, the derived networks from the inside out."""
    scope: ChainMap[str, Any] = ChainMap()
    items = parsed(text)
    for item in items:
        if item.data in ("import_all", "import_from"):
            source = item.children[1]
            library = (
                ROOT.joinpath("specs", *(word for word in source.children if word != "networks"))
                if isinstance(source, lark.Tree)
                else None
            )
            path = library.with_suffix(".arch") if library else folder / source[1:-1]
            found = names_of(path.read_text(encoding="utf-8"), path.parent)
            wanted = [(each.children[0], each.children[2]) for each in item.children[3:]] or [(n, None) for n in found]
            scope.update({str(alias or name): found[name] for name, alias in wanted if name != "<network>"})
        elif item.data == "network":
            scope[item.children[1]] = (item, scope, [])
    for item in items:
        declare(item, scope)
    for item in items:
        if item.data == "let":
            scope[item.children[1]] = evaluate(item.children[2], scope)
        elif item.data == "derived":
            tree, around, levels = scope[item.children[2]]
            scope[item.children[1]] = (tree, around, [*levels, (item, scope)])
    networks = [item.children[1] for item in items if item.data in ("network", "derived")]
    return dict(scope) | ({"<network>": scope[networks[0]]} if networks else {})


def declare(item: lark.Tree, scope: ChainMap[str, Any]) -> None:
    """Puts a function or a template under its name."""
    if item.data == "function":
        scope[item.children[1]] = Function(item, scope)
    elif item.data in ("template", "template_bare"):
        scope[item.children[1]] = Callee(item, scope)


# --- expressions ---


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def checked(kind: type, value: Any) -> Any:
    """The value, which must be of exactly this type."""
    if type(value) is not kind:
        raise RejectedError(f"{value} is no {kind.__name__}")
    return value


def number(text: str) -> int | float:
    """An int, or a float if it is not whole or written as one."""
    exact = Fraction(text.rstrip("KMGT")) * MULTIPLES.get(text[-1], 1)
    return int(exact) if exact.denominator == 1 and (text.isdigit() or text[-1] in MULTIPLES) else float(exact)


def slice_of(count: int, first: int | None, last: int | None) -> slice:
    """Python's slice; a bound beyond the list is no bound here."""
    start, stop = (place for place in slice(first, last).indices(count)[:2])
    if any(bound is not None and not -count <= checked(int, bound) <= count for bound in (first, last)) or start > stop:
        raise RejectedError(f"the slice {first}:{last} leaves a list of {count}")
    return slice(start, stop)


def divisible(value: float, divisor: int) -> int:
    """The nearest multiple (the larger of two), one more if that is below 0.9 of the value, never 0."""
    below = math.floor(value / divisor) * divisor
    nearest = max(divisor, below if value - below < divisor / 2 else below + divisor)
    return nearest + divisor if nearest < 0.9 * value else nearest


def find(name: str, scope: ChainMap[str, Any], here: Here | None, shapes: Any = None) -> Any:
    """The meaning of a name."""
    if name in scope:
        return scope[name]
    if here is not None and name in here.values:
        return here.values[name]
    if here is not None and name in ("value_in", "value_here"):
        return here.entering if name == "value_in" else here.running
    if here is not None and name in ("channels_in", "shape_in", "channels_here", "shape_here"):
        shape = Shape(shapes[checked(Value, here.entering if name.endswith("_in") else here.running).at].shape)
        return shape[0] if name.startswith("channels") else shape
    if name in BUILTINS or name in CALLED:
        return Builtin(str(name))
    return Callee(str(name)) if name in SIGNATURES else {word: word for word in OPTIONS}[name]


def evaluate(tree: lark.Tree, scope: ChainMap[str, Any], here: Here | None = None, shapes: Any = None) -> Any:
    """The value of an expression."""

    def of(part: lark.Tree, names: ChainMap[str, Any] = scope) -> Any:
        return evaluate(part, names, here, shapes)

    children, parts = tree.children, trees(tree)
    match str(tree.data):
        case "number":
            return number(children[0])
        case "shape":
            return Shape(map(int, children[0].split("x")))
        case "dimensions":
            return Shape(checked(int, of(part)) for part in parts)
        case "string":
            return children[0][1:-1]
        case "true" | "false":
            return tree.data == "true"
        case "name":
            return find(children[0], scope, here, shapes)
        case "group":
            return of(parts[0])
        case "list_of":
            return list(map(of, parts))
        case "negative":
            return -checked_number(of(parts[0]))
        case "negated":
            return not checked(bool, of(parts[0]))
        case "disjunction":
            return any(checked(bool, of(part)) for part in parts)
        case "conjunction":
            return all(checked(bool, of(part)) for part in parts)
        case "conditional":
            holds = checked(bool, of(children[2]))
            rest = children[4] if len(children) == 5 else lark.Tree("conditional", children[4:])
            return of(children[0] if holds else rest)
        case "comparison":
            return COMPARISONS[children[1]](of(children[0]), of(children[2]))
        case "sum" | "product":
            value = of(children[0])
            for sign, operand in zip(children[1::2], children[2::2], strict=True):
                value = arithmetic(sign, value, of(operand))
            return value
        case "power":
            *bases, value = map(of, parts)
            for base in reversed(bases):
                value = checked_number(base) ** checked_number(value)
            return value
        case "indexed":
            value = of(parts[0])
            for index in parts[1:]:
                if index.data == "list_slice":
                    first, _, last = (of(part) if isinstance(part, lark.Tree) else None for part in index.children)
                    value = type(value)(value[slice_of(len(value), first, last)])
                else:
                    value = value[checked(int, of(index))]
            return value
        case "comprehension":
            passes = [unpacked(children[3], element, scope) for element in of(children[4])]
            return [of(children[1], names) for names in passes if children[6] is None or of(children[6], names)]
        case "invoke":
            return invoked(children[0], trees(children[1]), scope, here, shapes)
    raise AssertionError(tree.data)


def checked_number(value: Any) -> Any:
    """The value, which must be a number."""
    if not _is_number(value):
        raise RejectedError(f"{value} is no number")
    return value


def arithmetic(sign: str, left: Any, right: Any) -> Any:
    """The result of an infix operator."""
    if sign == "+" and type(left) is type(right) is list:
        return left + right
    return ARITHMETIC[sign](checked_number(left), checked_number(right))


def unpacked(targets: lark.Tree, element: Any, scope: ChainMap[str, Any]) -> ChainMap[str, Any]:
    """The names of one pass of a `for`."""
    values = [element] if len(targets.children) == 1 else element
    return scope.new_child(dict(zip(map(str, targets.children), values, strict=True)))


def invoked(name: str, arguments: list[lark.Tree], scope: ChainMap[str, Any], here: Here | None, shapes: Any) -> Any:
    """The result of a function, or an operator or template with arguments filled in."""
    callee = find(name, scope, here, shapes)
    if not isinstance(callee, Builtin):
        if isinstance(callee, Callee):
            given = bound(formals_of(callee), arguments, scope, here, shapes, callee.arguments)
            return callee._replace(arguments=given)
        checked(Function, callee)
        formals = list(map(str, callee.tree.children[2].children)) if callee.tree.children[2] else []
        given = bound(formals, arguments, scope, here, shapes)
        if set(given) != set(formals):
            raise RejectedError(f"{name} needs {formals}")
        return evaluate(callee.tree.children[3], callee.scope.new_child(given | {"<pass>": None}))
    values, name = [evaluate(argument, scope, here, shapes) for argument in arguments], callee.name
    if name in ("first", "last"):
        at, count = scope["<pass>"]
        return values[0] if at == (0 if name == "first" else count - 1) else values[1]
    if name == "divisible":
        return divisible(*values)
    result = BUILTINS[name](*values)
    return list(result) if name == "range" else result


def formals_of(callee: Callee) -> list[str]:
    """The parameters of an operator or template."""
    if isinstance(callee.what, str):
        return parameters_of(callee.what)
    formals = callee.what.children[2] if callee.what.data == "template" else None
    return [str(formal.children[0]) for formal in trees(formals)]


def bound(
    formals: list[str],
    arguments: list[lark.Tree],
    scope: ChainMap[str, Any],
    here: Here | None,
    shapes: Any,
    filled: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The values of parameters: those filled in already, and those of the arguments, in order or by name."""
    given = dict(filled or {})
    open_formals = [formal for formal in formals if formal not in given]
    for place, argument in enumerate(arguments):
        is_named = argument.data == "keyword"
        name = str(argument.children[0]) if is_named else open_formals[place]
        if name in given or name not in formals:
            raise RejectedError(f"{name} cannot be given")
        given[name] = evaluate(argument.children[1] if is_named else argument, scope, here, shapes)
    return given
