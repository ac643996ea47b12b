"""The syntax tree of a file, with a span for every node.

The nodes are named tuples: the declaration of forty dataclasses would take a fifth of a whole `check`. A chain such as
`a + b + c` is one flat node, so the tree is only as deep as the brackets of the text.
"""

from __future__ import annotations

from resnext_dsl.foundation.diagnostics import Span
from resnext_dsl.foundation.records import NamedTuple

# --- expressions ---


class Literal(NamedTuple):
    """A number, string, bool or shape as written."""

    span: Span
    value: int | float | str | bool | tuple[int, ...]


class Name(NamedTuple):
    """A name in its use or its declaration."""

    span: Span
    text: str


class CallArgument(NamedTuple):
    """One argument of a call; it is positional if `name` is None."""

    span: Span
    name: Name | None
    value: Expression


class Invoke(NamedTuple):
    """`f(a, k=b)` inside an expression: a function, or an operator or template with arguments filled in."""

    span: Span
    callee: Name
    arguments: tuple[CallArgument, ...]


class Chain(NamedTuple):
    """Operands joined by infix operators of one level: `first op operand op operand ...`."""

    span: Span
    first: Expression
    rest: tuple[tuple[str, Expression], ...]


class Unary(NamedTuple):
    """`-a` or `not a`."""

    span: Span
    operator: str
    operand: Expression


class Conditional(NamedTuple):
    """`a if c else b`, chained: values and conditions in turn, a value last."""

    span: Span
    parts: tuple[Expression, ...]


class Dimensions(NamedTuple):
    """A shape with computed parts: `3 x n x n`."""

    span: Span
    parts: tuple[Expression, ...]


class ListSlice(NamedTuple):
    """The place `1:-1` of `list[1:-1]`; a bound that is left out is None."""

    span: Span
    start: Expression | None
    stop: Expression | None


class Index(NamedTuple):
    """`list[i]` and `list[i:j]`, chained: `list[i][j]`."""

    span: Span
    base: Expression
    indices: tuple[Expression | ListSlice, ...]


class ListOf(NamedTuple):
    """`[a, b, c]`."""

    span: Span
    items: tuple[Expression, ...]


class Comprehension(NamedTuple):
    """`[element for targets in iterable if condition]`."""

    span: Span
    element: Expression
    targets: tuple[Name, ...]
    iterable: Expression
    condition: Expression | None


Expression = Literal | Name | Invoke | Chain | Unary | Conditional | Dimensions | Index | ListOf | Comprehension

# --- statements ---
# `aliases` are the names after `as`: none, one for the value, or one for each value of a list.


class Apply(NamedTuple):
    """`conv(64, 3x3)`, `relu`: an operator or template on the running value."""

    span: Span
    callee: Name
    arguments: tuple[CallArgument, ...]
    aliases: tuple[Name, ...]


class Use(NamedTuple):
    """`use VALUE as NAME`; the value is an expression: a name, an element of a list, a list."""

    span: Span
    value: Expression
    aliases: tuple[Name, ...]


class Let(NamedTuple):
    """`let NAME = EXPR`."""

    span: Span
    name: Name
    value: Expression
    doc: str = ""


class Repeat(NamedTuple):
    """`repeat N as i { ... }`."""

    span: Span
    times: Expression
    counter: Name | None
    body: Block
    aliases: tuple[Name, ...]


class ForEach(NamedTuple):
    """`for a, b in LIST { ... }`."""

    span: Span
    targets: tuple[Name, ...]
    iterable: Expression
    body: Block
    aliases: tuple[Name, ...]


class If(NamedTuple):
    """`if c { ... } else if d { ... } else { ... }`."""

    span: Span
    branches: tuple[tuple[Expression, Block], ...]
    otherwise: Block | None
    aliases: tuple[Name, ...]


LIST = "list"
"""The word of `merge list`, which keeps the values of the paths apart as a list."""


class Split(NamedTuple):
    """`split N slice as i { ... } merge OP`, or with listed paths (`body` is None then).

    `times` is the number of paths, or the widths of their slices.
    """

    span: Span
    times: Expression | None
    sliced: bool
    counter: Name | None
    body: Block | None
    paths: tuple[ListedPath, ...]
    merge: Apply
    aliases: tuple[Name, ...]


class PathRepeat(NamedTuple):
    """`repeat N as i { path { ... } }`: paths of a split, N times."""

    span: Span
    times: Expression
    counter: Name | None
    paths: tuple[ListedPath, ...]


class PathFor(NamedTuple):
    """`for a, b in LIST { path { ... } }`: paths of a split for each element."""

    span: Span
    targets: tuple[Name, ...]
    iterable: Expression
    paths: tuple[ListedPath, ...]


class PathIf(NamedTuple):
    """`if c { path { ... } } else if d { ... } else { ... }`: paths of a split under a condition."""

    span: Span
    branches: tuple[tuple[Expression, tuple[ListedPath, ...]], ...]
    otherwise: tuple[ListedPath, ...] | None


class Residual(NamedTuple):
    """`residual(shortcut=KIND) { ... } shortcut { ... }`."""

    span: Span
    arguments: tuple[CallArgument, ...]
    body: Block
    shortcut: Block | None
    aliases: tuple[Name, ...]


class Shared(NamedTuple):
    """`shared NAME = CALLEE(arguments)`: one instance of an operator or template, which each use of NAME applies."""

    span: Span
    name: Name
    call: Apply


Statement = Apply | Use | Let | Shared | Repeat | ForEach | If | Split | Residual


class Block(NamedTuple):
    """Statements in braces."""

    span: Span
    statements: tuple[Statement, ...]


ListedPath = Block | PathRepeat | PathFor | PathIf
"""`path { ... }`, or paths in a loop or under a condition."""


# --- declarations ---


class SetDomain(NamedTuple):
    """`in {a, b, c}`."""

    span: Span
    items: tuple[Expression, ...]


class RangeDomain(NamedTuple):
    """`in low..high step s` or `in low..high log`, both ends included."""

    span: Span
    low: Expression
    high: Expression
    step: Expression | None
    log: bool


class ListDomain(NamedTuple):
    """`in [1..4, {2, 4}]`: a domain for each element of a list."""

    span: Span
    elements: tuple[SetDomain | RangeDomain, ...]


Domain = SetDomain | RangeDomain | ListDomain


class Param(NamedTuple):
    """`param NAME: TYPE = DEFAULT in DOMAIN when CONDITION`."""

    span: Span
    name: Name
    type: Name | None
    default: Expression
    domain: Domain | None
    condition: Expression | None
    doc: str = ""


class Fn(NamedTuple):
    """`fn NAME(a, b) = EXPR`."""

    span: Span
    name: Name
    parameters: tuple[Name, ...]
    body: Expression
    doc: str = ""


class Formal(NamedTuple):
    """A parameter of a template; a call must give it if `default` is None."""

    span: Span
    name: Name
    default: Expression | None


class Template(NamedTuple):
    """`template NAME(a, b = 1) { ... }`."""

    span: Span
    name: Name
    parameters: tuple[Formal, ...]
    body: Block
    doc: str = ""


class Require(NamedTuple):
    """`require EXPR, "why"`."""

    span: Span
    condition: Expression
    reason: str


class Default(NamedTuple):
    """`default OPERATOR(k=v)`."""

    span: Span
    operator: Name
    arguments: tuple[CallArgument, ...]


class InitDeclaration(NamedTuple):
    """`PATH.OPERATOR.FIELD = SCHEME(arguments)`; the path may be missing.

    If the last word before the field is not an operator, it ends the path, which is then the name of a node.
    """

    span: Span
    path: tuple[Name, ...]
    operator: Name
    field: Name
    scheme: Name
    arguments: tuple[CallArgument, ...]


class Init(NamedTuple):
    """`init { ... }`."""

    span: Span
    rules: tuple[InitDeclaration, ...]


class Input(NamedTuple):
    """`input NAME: SHAPE`."""

    span: Span
    name: Name
    shape: Expression


class Amount(NamedTuple):
    """A number with a unit as written: `5ms`, `64MiB`; the number is `numerator / denominator`."""

    span: Span
    numerator: int
    denominator: int
    unit: str


class MeasureReference(NamedTuple):
    """`flops`, `conv3.0.flops`, `latency(cpu, 1)`: the measure of a limit; `arguments` is None without brackets."""

    span: Span
    part: tuple[Name, ...]
    name: Name
    arguments: tuple[CallArgument, ...] | None


class LimitDeclaration(NamedTuple):
    """`measure <= EXPR`, or `measure in LOW..HIGH` as the two bounds `>= LOW` and `<= HIGH`."""

    span: Span
    measure: MeasureReference
    bounds: tuple[tuple[str, Expression | Amount], ...]


class Budget(NamedTuple):
    """`budget NAME(input=SHAPE, dtype=NAME) { ... }`; `name` is None for the one without a name."""

    span: Span
    name: Name | None
    arguments: tuple[CallArgument, ...]
    limits: tuple[LimitDeclaration, ...]


class PartDeclaration(NamedTuple):
    """`stem`, `head` or `stage NAME repeat N as i { ... }`; `kind` is the keyword."""

    span: Span
    kind: str
    name: Name
    times: Expression | None
    counter: Name | None
    body: Block
    aliases: tuple[Name, ...]
    doc: str = ""


class OutputDeclaration(NamedTuple):
    """`output NAME when training from VALUE { ... }`."""

    span: Span
    name: Name
    when: Name | None
    value: Expression | None
    body: Block | None


class Import(NamedTuple):
    """`import "PATH"` (`names` is None), `from "PATH" import a, b as c`, `from std.blocks import a`.

    `library` is the dotted name of a shipped library, `path` the relative path; one of them is "".
    """

    span: Span
    path: str
    library: str
    names: tuple[tuple[Name, Name], ...] | None


Entry = (
    Param
    | Let
    | Fn
    | Template
    | Require
    | Default
    | Init
    | Input
    | Budget
    | PartDeclaration
    | OutputDeclaration
    | Statement
)


class NetworkDeclaration(NamedTuple):
    """`network NAME { ... }`."""

    span: Span
    name: Name
    entries: tuple[Entry, ...]
    doc: str = ""


class Derived(NamedTuple):
    """`network NAME = BASE(k=v) { ... }`."""

    span: Span
    name: Name
    base: Name
    arguments: tuple[CallArgument, ...]
    entries: tuple[Entry, ...]
    doc: str = ""


Item = Import | Let | Fn | Template | NetworkDeclaration | Derived


class Comment(NamedTuple):
    """A comment, from its `#` to the end of the line; `alone` if nothing stands before it."""

    span: Span
    text: str
    alone: bool


class File(NamedTuple):
    """A whole file and its comments in the order of the text."""

    span: Span
    items: tuple[Item, ...]
    comments: tuple[Comment, ...]
