"""What a scope of the graph is as a module, before any text: the modules it holds and the steps of its forward.

    graph -> (collect) blocks -> (unify) patterns -> (classes, network) text

A block is concrete: every attribute is a literal. Two scopes of one template give equal blocks exactly where one
constructor call makes both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Value = Any
"""A literal: None, bool, int, float, str, or a tuple of them."""

Ref = tuple[str, int]
"""A value inside a block: (name of a step, number of its output), or ("", k) for the k-th input."""


class Hashed:
    """A frozen dataclass that computes its hash once: modules are compared over and over, and nest."""

    __slots__ = ("_hash",)
    _hash: int

    def cached_hash(self) -> int:
        """The hash of all fields."""
        try:
            return self._hash
        except AttributeError:
            fields = type(self).__match_args__  # type: ignore[attr-defined]
            object.__setattr__(self, "_hash", hash(tuple([getattr(self, name) for name in fields])))
            return self._hash


@dataclass(frozen=True, slots=True)
class LeafModule(Hashed):
    """A module of torch or of `support`: `nn.Conv2d(64, 128, 3, padding=1)`."""

    target: str
    positional: tuple[Value, ...]
    keywords: tuple[tuple[str, Value], ...]

    __hash__ = Hashed.cached_hash


@dataclass(frozen=True, slots=True)
class Built(Hashed):
    """An instance of an emitted class."""

    name: str
    arguments: tuple[tuple[str, Value], ...]

    __hash__ = Hashed.cached_hash


@dataclass(frozen=True, slots=True)
class Named(Hashed):
    """Modules under names of their own: a row that is called as one, or a mere container."""

    children: tuple[tuple[str, Make], ...]
    row: bool

    __hash__ = Hashed.cached_hash


@dataclass(frozen=True, slots=True)
class Numbered(Hashed):
    """Modules under numbers from 0; `container` is `nn.Sequential` or `nn.ModuleList`."""

    container: str
    items: tuple[Make, ...]

    __hash__ = Hashed.cached_hash


Make = LeafModule | Built | Named | Numbered

StepKind = Literal["call", "compute", "merge", "loop", "stages"]


@dataclass(frozen=True, slots=True)
class ForwardStep(Hashed):
    """One step of a forward.

    Attributes:
        name: Its local name, unique in the block.
        kind: "call": the child at `child`; "compute": the expression `text`; "merge": every path in the list at
            `child`, the results joined by `text` (`Merge` forms: see `collect`); "loop": every child of this list in
            turn; "stages": the stages that `child` lists, between spaces, in turn.
        child: Path of the module, `conv1` or `paths.3`; "" for "compute".
        text: An expression with `{0}`, `{1}` for the inputs and `{name}` for literals; "" for a mere call.
        literals: Those of the text.
        inputs: What it reads.
        outputs: How many values it gives.
        heavy: Whether a statement of its own reads better: convolutions, linear layers, modules of several layers.
        chunks: A "merge" whose paths each take their equal slice of the channels.
    """

    name: str
    kind: StepKind
    child: str
    text: str
    literals: tuple[tuple[str, Value], ...]
    inputs: tuple[Ref, ...]
    outputs: int = 1
    heavy: bool = False
    chunks: bool = False

    __hash__ = Hashed.cached_hash


@dataclass(frozen=True, slots=True)
class ModuleBlock(Hashed):
    """A scope as a module.

    Attributes:
        inputs: How many values it takes.
        in_channels: Channels of the first of them.
        out_channels: Channels of the first value it gives.
        arguments: Of the template, as bound.
        children: The modules it holds, in the order of execution.
        steps: Its forward.
        outputs: The values it gives.
        listed: Whether its children are numbers, so that it is a list itself.
    """

    inputs: int
    in_channels: int
    out_channels: int
    arguments: tuple[tuple[str, Value], ...]
    children: tuple[tuple[str, Make], ...]
    steps: tuple[ForwardStep, ...]
    outputs: tuple[Ref, ...]
    listed: bool = False

    __hash__ = Hashed.cached_hash


class MismatchError(Exception):
    """Blocks that no one class can make."""
