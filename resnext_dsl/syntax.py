"""The syntax tree: what a file says, with a span for every part of it.

Plain frozen data. Chains such as `a + b + c` are flat, so that the depth of the tree is that of the brackets in the text.
"""

from __future__ import annotations

from dataclasses import dataclass

from resnext_dsl.diagnostics import Span

# --- expressions ---


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, string, bool or shape as written."""

    span: Span
    value: int | float | str | bool | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """A name, where it is used or declared."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call; positional where `name` is None."""

    span: Span
    name: Name | None
    value: Expression


@dataclass(frozen=True, slots=True)
class Invoke:
    """`f(a, k=b)` inside an expression: a function, or an operator or template with arguments filled in."""

    span: Span
    callee: Name
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """Operands joined by infix operators of one level: `first op operand op operand ...`."""

    span: Span
    first: Expression
    rest: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """`-a` or `not a`."""

    span: Span
    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Conditional:
    """`a if c else b`, chained: values and conditions in turn, a value last."""

    span: Span
    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Dimensions:
    """A shape with computed parts: `3 x n x n`."""

    span: Span
    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """`list[i]`, chained: `list[i][j]`."""

    span: Span
    base: Expression
    indices: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b, c]`."""

    span: Span
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Comprehension:
    """`[element for targets in iterable if condition]`."""

    span: Span
    element: Expression
    targets: tuple[Name, ...]
    iterable: Expression
    condition: Expression | None


Expression = (
    Literal | Name | Invoke | Chain | Unary | Conditional | Dimensions | Index | ListOf | Comprehension
)

# --- statements ---


@dataclass(frozen=True, slots=True)
class Apply:
    """`conv(64, 3x3)`, `relu`: an operator or template on the running value."""

    span: Span
    callee: Name
    arguments: tuple[Argument, ...]
    alias: Name | None


@dataclass(frozen=True, slots=True)
class Use:
    """`use NAME`."""

    span: Span
    value: Name


@dataclass(frozen=True, slots=True)
class Let:
    """`let NAME = EXPR`."""

    span: Span
    name: Name
    value: Expression
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Repeat:
    """`repeat N as i { ... }`."""

    span: Span
    count: Expression
    index: Name | None
    body: Block
    alias: Name | None


@dataclass(frozen=True, slots=True)
class ForEach:
    """`for a, b in LIST { ... }`."""

    span: Span
    targets: tuple[Name, ...]
    iterable: Expression
    body: Block
    alias: Name | None


@dataclass(frozen=True, slots=True)
class Condition:
    """`if c { ... } else if d { ... } else { ... }`."""

    span: Span
    branches: tuple[tuple[Expression, Block], ...]
    otherwise: Block | None
    alias: Name | None


@dataclass(frozen=True, slots=True)
class Split:
    """`split N slice as i { ... } merge OP`, or with listed paths (`body` is None then)."""

    span: Span
    count: Expression | None
    sliced: bool
    index: Name | None
    body: Block | None
    paths: tuple[Block, ...]
    merge: Apply
    alias: Name | None


@dataclass(frozen=True, slots=True)
class Residual:
    """`residual(shortcut=KIND) { ... } shortcut { ... }`."""

    span: Span
    arguments: tuple[Argument, ...]
    body: Block
    shortcut: Block | None
    alias: Name | None


Statement = Apply | Use | Let | Repeat | ForEach | Condition | Split | Residual


@dataclass(frozen=True, slots=True)
class Block:
    """Statements in braces."""

    span: Span
    statements: tuple[Statement, ...]


# --- declarations ---


@dataclass(frozen=True, slots=True)
class SetDomain:
    """`in {a, b, c}`."""

    span: Span
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class RangeDomain:
    """`in low..high step s`, both ends included."""

    span: Span
    low: Expression
    high: Expression
    step: Expression | None


@dataclass(frozen=True, slots=True)
class Param:
    """`param NAME: TYPE = DEFAULT in DOMAIN`."""

    span: Span
    name: Name
    type: Name | None
    default: Expression
    domain: SetDomain | RangeDomain | None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Fn:
    """`fn NAME(a, b) = EXPR`."""

    span: Span
    name: Name
    parameters: tuple[Name, ...]
    body: Expression
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Formal:
    """A template's parameter; it must be given where `default` is None."""

    span: Span
    name: Name
    default: Expression | None


@dataclass(frozen=True, slots=True)
class Template:
    """`template NAME(a, b = 1) { ... }`."""

    span: Span
    name: Name
    parameters: tuple[Formal, ...]
    body: Block
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Require:
    """`require EXPR, "why"`."""

    span: Span
    condition: Expression
    reason: str


@dataclass(frozen=True, slots=True)
class Default:
    """`default OPERATOR(k=v)`."""

    span: Span
    operator: Name
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class InitRule:
    """`OPERATOR.FIELD = SCHEME(arguments)`."""

    span: Span
    operator: Name
    field: Name
    scheme: Name
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Init:
    """`init { ... }`."""

    span: Span
    rules: tuple[InitRule, ...]


@dataclass(frozen=True, slots=True)
class Input:
    """`input NAME: SHAPE`."""

    span: Span
    name: Name
    shape: Expression


@dataclass(frozen=True, slots=True)
class Limit:
    """`measure <= EXPR`, or `measure in LOW..HIGH` as the two bounds `>= LOW` and `<= HIGH`."""

    span: Span
    measure: Name
    bounds: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """`budget NAME { ... }`; `name` is None for the one without a name."""

    span: Span
    name: Name | None
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """`stem`, `head` or `stage NAME repeat N as i { ... }`; `kind` is the keyword."""

    span: Span
    kind: str
    name: Name
    count: Expression | None
    index: Name | None
    body: Block
    alias: Name | None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """`output NAME when training from VALUE { ... }`."""

    span: Span
    name: Name
    when: Name | None
    value: Name | None
    body: Block | None


@dataclass(frozen=True, slots=True)
class Import:
    """`import "PATH"` (`names` is None), `from "PATH" import a, b as c`, `from std.blocks import a`.

    `library` is the dotted name of a shipped library, `path` the relative path; one of them is "".
    """

    span: Span
    path: str
    library: str
    names: tuple[tuple[Name, Name], ...] | None


Entry = Param | Let | Fn | Template | Require | Default | Init | Input | Budget | Part | Output | Statement


@dataclass(frozen=True, slots=True)
class Network:
    """`network NAME { ... }`."""

    span: Span
    name: Name
    entries: tuple[Entry, ...]
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Derived:
    """`network NAME = BASE(k=v) { ... }`."""

    span: Span
    name: Name
    base: Name
    arguments: tuple[Argument, ...]
    entries: tuple[Entry, ...]
    doc: str = ""


Item = Import | Let | Fn | Template | Network | Derived


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, from its `#` to the end of the line; `alone` where nothing stands before it."""

    span: Span
    text: str
    alone: bool


@dataclass(frozen=True, slots=True)
class File:
    """A whole file and its comments in the order of the text."""

    span: Span
    items: tuple[Item, ...]
    comments: tuple[Comment, ...]
