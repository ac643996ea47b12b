"""The records of a block: a scope of the graph as a module, with its children and the steps of its forward.

    graph -> (collect) blocks -> (unify) patterns -> (class_text, network_class) text

A block is concrete: every attribute is a literal. Two scopes of one template have equal blocks if and only if the same
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
    """A frozen dataclass that computes its hash once, because modules nest and are compared often."""

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
    """A module of torch or a helper class: `nn.Conv2d(64, 128, 3, padding=1)`."""

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
    """Modules under names: a row, which one call runs in order, or a container that is never called."""

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
        kind: "call", "compute", "merge", "loop" or "stages".
            A "call" calls the child at `child`. A "compute" evaluates the expression `text`.
            A "merge" calls every path in the list at `child` and joins the results by `text` (see `path_merges`).
            A "loop" calls every child of this list in turn.
            A "stages" step calls the stages that `child` lists, separated by spaces, in turn.
        child: Path of the module, `conv1` or `paths.3`; "" for "compute". It is another name than that of the step for
            a use of a shared instance.
        text: An expression with `{0}`, `{1}` for the inputs and `{name}` for literals; "" for a call.
        literals: Name -> value of the literals in the text.
        inputs: The values that it reads.
        outputs: The number of its results.
        heavy: Whether the step gets its own statement: convolutions, linear layers, modules of several layers.
        chunks: Whether each path of a "merge" takes an equal slice of the channels.
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
        inputs: The number of values that its forward takes.
        in_channels: Channels of the first input.
        out_channels: Channels of the first result.
        arguments: The arguments that the template was called with.
        children: The modules it holds, in the order of execution.
        steps: The steps of its forward.
        outputs: The results of its forward.
        listed: Whether the names of its children are numbers, so that the block is an `nn.ModuleList`.
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
    """No single class can make the blocks."""
