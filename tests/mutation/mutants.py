"""Mutants of a module: one small change each, made in the syntax tree and written back as text.

No mutants: docstrings and other strings, annotations, type aliases, `__all__`, imports, decorators, `assert`,
`if TYPE_CHECKING`, and the arguments of errors (`error(...)`, `fail(...)`, `...Error(...)`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list", "reversed": "list"}
MESSAGES = re.compile(r"error|warning|fail|[A-Z]\w*Error")
"""Functions whose arguments are text for the reader."""

ALIAS = re.compile(r"[A-Z][A-Za-z]*[a-z]_?")
"""Names of types; constants are capitals throughout."""

ONE_LINE = (
    ast.Expr,
    ast.Assign,
    ast.AugAssign,
    ast.AnnAssign,
    ast.Return,
    ast.Raise,
    ast.Delete,
    ast.Break,
    ast.Continue,
)
"""Statements that have no body."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed part of a module.

    Attributes:
        path: File in the checkout.
        function: Qualified name of the function or class around it; empty in the module's body.
        line: First line of the part.
        lines: Lines that the change touches, nearest first.
        operator: Name of the kind of change.
        original: The part as `ast.unparse` writes it.
        mutated: The changed part, likewise.
        start: First byte of the part in the file.
        end: Byte after the part.
    """

    path: str
    function: str
    line: int
    lines: tuple[int, ...]
    operator: str
    original: str
    mutated: str
    start: int
    end: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Identifies the mutant by text, so that other lines may move."""
        return self.path, self.function, self.original, self.mutated

    def applied(self, source: bytes) -> bytes:
        """The module with the change."""
        return source[: self.start] + self.mutated.encode() + source[self.end :]


@dataclass(frozen=True, slots=True)
class Part:
    """A statement of one line, or an expression in the head of a longer statement, that mutants rewrite as a whole."""

    node: ast.stmt | ast.expr
    function: str


def mutants_of(source: str, path: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its text."""
    starts = [0]
    for text in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(text))
    mutants = []
    known = set()
    for part in _parts(ast.parse(source).body, ""):
        node = part.node
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        original = ast.unparse(node)
        for operator, line, mutated in _changes(node):
            key = (part.function, original, mutated)
            if mutated == original or key in known or not _compiles(mutated, node):
                continue
            known.add(key)
            mutants.append(
                Mutant(
                    path,
                    part.function,
                    node.lineno,
                    tuple(dict.fromkeys([line, node.lineno, *range(node.lineno, node.end_lineno + 1)])),
                    operator,
                    original,
                    mutated,
                    starts[node.lineno - 1] + node.col_offset,
                    starts[node.end_lineno - 1] + node.end_col_offset,
                )
            )
    return mutants


def _compiles(text: str, node: ast.stmt | ast.expr) -> bool:
    try:
        ast.parse(text, mode="eval" if isinstance(node, ast.expr) else "exec")
    except SyntaxError:
        return False
    return True


def _parts(body: list[ast.stmt], function: str) -> Iterator[Part]:
    """The parts of a list of statements, nested ones too."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{function}.{node.name}".lstrip(".")
            if not isinstance(node, ast.ClassDef):
                defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d)]
                yield from (Part(default, inside) for default in defaults)
            yield from _parts(node.body, inside)
        elif isinstance(node, ONE_LINE):
            if not _is_text(node) and not _is_alias(node, function) and not _is_names(node):
                yield from (Part(part, function) for part in _rows(node) or [node])
        elif isinstance(node, ast.If):
            if ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
                continue
            yield Part(node.test, function)
            yield from _parts(node.body, function)
            yield from _parts(node.orelse, function)
        elif isinstance(node, ast.While):
            yield Part(node.test, function)
            yield from _parts([*node.body, *node.orelse], function)
        elif isinstance(node, ast.For):
            yield Part(node.iter, function)
            yield from _parts([*node.body, *node.orelse], function)
        elif isinstance(node, ast.With):
            yield from (Part(item.context_expr, function) for item in node.items)
            yield from _parts(node.body, function)
        elif isinstance(node, ast.Try):
            handlers = [statement for handler in node.handlers for statement in handler.body]
            yield from _parts([*node.body, *handlers, *node.orelse, *node.finalbody], function)
        elif isinstance(node, ast.Match):
            yield Part(node.subject, function)
            for case in node.cases:
                if case.guard:
                    yield Part(case.guard, function)
                yield from _parts(case.body, function)


def _rows(node: ast.stmt) -> list[ast.expr]:
    """The elements of a table, each a part of its own; none if the statement is no table."""
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if not isinstance(value, ast.Tuple | ast.List | ast.Set | ast.Dict) or node.lineno == node.end_lineno:
        return []
    return value.values if isinstance(value, ast.Dict) else value.elts


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_alias(node: ast.stmt, function: str) -> bool:
    """A type's other name, in the module's body."""
    if function or not isinstance(node, ast.Assign):
        return False
    name = node.targets[0]
    if not isinstance(name, ast.Name) or not ALIAS.fullmatch(name.id):
        return False
    return isinstance(node.value, ast.BinOp | ast.Subscript | ast.Call | ast.Name | ast.Attribute)


def _is_names(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Name) and target.id in {"__all__", "__slots__"} for target in targets)


def _changes(part: ast.stmt | ast.expr) -> Iterator[tuple[str, int, str]]:
    """The kind, the line and the text of each change of a part."""
    root = ast.Expr(part) if isinstance(part, ast.expr) else ast.Module([part], [])
    for holder, field, place, node in list(_nodes(root)):
        for operator, changed in _replacements(node):
            _put(holder, field, place, changed)
            yield operator, node.lineno, ast.unparse(root)
            _put(holder, field, place, node)


def _put(holder: ast.AST, field: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(holder, field, node)
    else:
        getattr(holder, field)[place] = node


def _nodes(holder: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.stmt | ast.expr]]:
    """The statements and expressions below a node, each with the field that holds it."""
    for field, value in ast.iter_fields(holder):
        if field == "annotation" or _is_message(holder, field) or _is_type(holder, field):
            continue
        for place, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(node, ast.stmt | ast.expr):
                yield holder, field, place, node
            if isinstance(node, ast.AST):
                yield from _nodes(node)


def _name(node: ast.AST) -> str:
    """The last word of a function's name."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_message(holder: ast.AST, field: str) -> bool:
    return isinstance(holder, ast.Call) and field != "func" and bool(MESSAGES.fullmatch(_name(holder.func)))


def _is_type(holder: ast.AST, field: str) -> bool:
    typed = {"isinstance", "issubclass", "cast", "TypeVar"}
    return isinstance(holder, ast.Call) and field == "args" and _name(holder.func) in typed


def _replacements(node: ast.stmt | ast.expr) -> Iterator[tuple[str, ast.AST]]:
    """The nodes that may replace a node, by the name of the operator."""
    match node:
        case ast.Compare():
            yield from (("comparison", changed) for changed in _compared(node))
        case ast.BinOp(left, operation, right) if type(operation) in ARITHMETIC:
            yield "arithmetic", ast.BinOp(left, ARITHMETIC[type(operation)](), right)
        case ast.AugAssign(target, operation, value) if type(operation) in ARITHMETIC:
            yield "arithmetic", ast.AugAssign(target, ARITHMETIC[type(operation)](), value)
            yield "removed statement", ast.Pass()
        case ast.BoolOp(operation, values):
            yield "logic", ast.BoolOp(ast.Or() if isinstance(operation, ast.And) else ast.And(), values)
            for place in range(len(values)):
                rest = [*values[:place], *values[place + 1 :]]
                yield "operand", rest[0] if len(rest) == 1 else ast.BoolOp(operation, rest)
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield "sign" if isinstance(node.op, ast.USub) else "logic", operand
        case ast.Constant(bool() as value):
            yield "constant", ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield "constant", ast.Constant(value + 1)
            if value == 1:
                yield "constant", ast.Constant(0)
        case ast.IfExp(test, body, orelse):
            yield "branch", body
            yield "branch", orelse
            yield "branch", ast.IfExp(test, orelse, body)
        case ast.Call():
            yield from _calls(node)
        case ast.Slice(lower, upper, step):
            if lower:
                yield "slice", ast.Slice(None, upper, step)
            if upper:
                yield "slice", ast.Slice(lower, None, step)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from (("filter", changed) for changed in _unfiltered(node))
        case ast.Return(ast.expr() as value) if not (isinstance(value, ast.Constant) and not value.value):
            yield "return", ast.Return(ast.Constant(None))
            if isinstance(value, ast.Tuple) and value.elts:
                yield "return", ast.Return(value.elts[0])
        case ast.Break():
            yield "loop", ast.Continue()
        case ast.Continue():
            yield "loop", ast.Break()
        case ast.Raise() | ast.Delete():
            yield "removed statement", ast.Pass()
        case ast.Expr(value) if not isinstance(value, ast.Yield | ast.YieldFrom | ast.Constant):
            yield "removed statement", ast.Pass()
        case ast.Assign(targets) if all(isinstance(target, ast.Attribute | ast.Subscript) for target in targets):
            yield "removed statement", ast.Pass()


def _compared(node: ast.Compare) -> Iterator[ast.Compare]:
    for place, comparison in enumerate(node.ops):
        for other in COMPARISONS[type(comparison)]:
            operations = [*node.ops[:place], other(), *node.ops[place + 1 :]]
            yield ast.Compare(node.left, operations, node.comparators)


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    """Changes of a call: another function, arguments swapped or left out."""
    if _is_message(node, "args"):
        return
    if isinstance(node.func, ast.Name) and node.func.id in CALLS:
        keywords = [] if CALLS[node.func.id] == "list" else node.keywords
        yield "call", ast.Call(ast.Name(CALLS[node.func.id], ast.Load()), node.args, keywords)
    if _is_type(node, "args"):
        return
    if len(node.args) >= 2 and not any(isinstance(argument, ast.Starred) for argument in node.args[:2]):
        first, second, *rest = node.args
        yield "swapped arguments", ast.Call(node.func, [second, first, *rest], node.keywords)
    for place, keyword in enumerate(node.keywords):
        if keyword.arg:
            keywords = [*node.keywords[:place], *node.keywords[place + 1 :]]
            yield "removed keyword", ast.Call(node.func, node.args, keywords)


def _unfiltered(node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> Iterator[ast.AST]:
    for place, loop in enumerate(node.generators):
        for rejected in range(len(loop.ifs)):
            ifs = [*loop.ifs[:rejected], *loop.ifs[rejected + 1 :]]
            changed = ast.comprehension(loop.target, loop.iter, ifs, loop.is_async)
            loops = [*node.generators[:place], changed, *node.generators[place + 1 :]]
            if isinstance(node, ast.DictComp):
                yield ast.DictComp(node.key, node.value, loops)
            else:
                yield type(node)(node.elt, loops)
