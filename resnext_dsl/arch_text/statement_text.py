"""The lines of a body: one statement each, several if they are short, and bodies below the statement that has them."""

from __future__ import annotations

from collections.abc import Callable

from resnext_dsl.arch_text.argument_text import Defaults, operator_text, value_words
from resnext_dsl.arch_text.step_tree import (
    ActivationStep,
    Body,
    CallStep,
    DeclaredStep,
    GatherStep,
    OperatorStep,
    OptionalStep,
    RepeatStep,
    ResidualStep,
    SharedStep,
    SplitStep,
    Step,
    TextStep,
    UseStep,
    names_of,
)
from resnext_dsl.formatter.page import STEP, WIDTH
from resnext_dsl.operators import OPERATORS

FILLED = 72
"""A row of short statements ends before the first layer after this column."""


GATHERS, JOINS = "use [value_here]", "concat"
"""The statements before and after blocks that make a list grow."""


class Phrases:
    """The words of one frame: a template, or the network with its parts.

    Attributes:
        defaults: The network's own defaults.
        name: The name of a value.
        call: The text of a call without its values: name, then arguments.
        instance: The name of a shared instance.
    """

    def __init__(
        self,
        defaults: Defaults,
        name: Callable[[int], str],
        call: Callable[[CallStep, list[str]], str],
        instance: Callable[[int | str], str],
    ) -> None:
        self.defaults = defaults
        self.name = name
        self.call = call
        self.instance = instance

    def head(self, step: Step) -> str:
        """The statement without its bodies and its names."""
        if isinstance(step, OperatorStep):
            others = [self.name(value) for value in step.others]
            return operator_text(step.operator, step.arguments, others, self.defaults)
        if isinstance(step, ActivationStep):
            return value_words("operator", step.operator)
        if isinstance(step, CallStep):
            return self.call(step, [self.name(value) for value in step.others])
        if isinstance(step, UseStep):
            names = ", ".join(map(self.name, step.values))
            return f"use {names}" if len(step.values) == 1 else f"use [{names}]"
        if isinstance(step, SharedStep):
            return self.instance(step.instance)
        if isinstance(step, TextStep):
            return step.text
        if isinstance(step, DeclaredStep):
            return f"shared {self.instance(step.instance)} = {self.head(step.call)}"
        return ""

    def lines(self, body: Body, indent: int) -> list[str]:
        """The lines of a body, indented."""
        rows: list[str] = []
        row = ""
        room = WIDTH - indent
        for step in body:
            text = self.flat(step)
            if text is None or len(text) > room:
                if row:
                    rows.append(row)
                row = ""
                rows += self._nested(step)
                continue
            if row and (len(row) + 2 + len(text) > room or (len(row) > FILLED and _opens_a_row(step))):
                rows.append(row)
                row = ""
            row = f"{row}; {text}" if row else text
            if _stands_alone(step):
                rows.append(row)
                row = ""
        if row:
            rows.append(row)
        return [" " * indent + line for line in rows]

    def braced(self, head: str, body: Body, tail: str = "", room: int = WIDTH) -> list[str]:
        """A head with its body in braces, on one line if it fits and has no long parts."""
        flat = self.flat_body(body)
        if flat is not None and len(head) + len(flat) + len(tail) + 1 <= room:
            return [f"{head} {flat}{tail}"]
        return [f"{head} {{", *self.lines(body, STEP), f"}}{tail}"]

    def flat_body(self, body: Body) -> str | None:
        """A body in braces on one line; None if it does not read well so."""
        if not body:
            return "{ }"
        parts = [self.flat(step) for step in body]
        if None in parts or len(parts) > 12:
            return None
        return f"{{ {'; '.join(part for part in parts if part)} }}"

    def flat(self, step: Step) -> str | None:
        """A statement on one line; None if it needs several."""
        if isinstance(step, DeclaredStep):
            return self.head(step)
        names = self._as(step)
        if isinstance(step, GatherStep):
            inside = [self.flat(one) for one in step.body]
            return None if None in inside else "; ".join([GATHERS, *map(str, inside), f"{JOINS}{names}"])
        if not isinstance(step, ResidualStep | SplitStep | RepeatStep | OptionalStep):
            return self.head(step) + names
        parts = []
        for opening, body, closing in self._pieces(step):
            inner = self.flat_body(body) if body is not None else ""
            if inner is None:
                return None
            parts.append(f"{opening} {inner}".rstrip() + closing)
        text = " ".join(parts) + names
        return text if len(text) <= WIDTH - STEP else None

    def _as(self, step: Step) -> str:
        """The names that a step gives to its results."""
        names = names_of(step)
        return f" as {', '.join(map(self.name, names))}" if names else ""

    def _nested(self, step: Step) -> list[str]:
        """A statement on several lines."""
        if isinstance(step, SplitStep) and not step.count:
            return self._listed(step)
        names = self._as(step)
        if isinstance(step, GatherStep):
            return [GATHERS, *self.lines(step.body, 0), f"{JOINS}{names}"]
        lines: list[str] = []
        pieces = self._pieces(step)
        if not pieces:
            return [self.head(step) + names]
        for place, (opening, body, closing) in enumerate(pieces):
            assert body is not None
            tail = closing + (names if place == len(pieces) - 1 else "")
            piece = [f"{opening} {{", *self.lines(body, STEP), f"}}{tail}"]
            if lines:
                piece[0] = f"{lines.pop()} {piece[0]}"
            lines += piece
        return lines

    def _listed(self, step: SplitStep) -> list[str]:
        names = self._as(step)
        lines = [f"{self._split_head(step)} {{"]
        for path in step.paths:
            shown = self._path(path)
            piece = self.braced("path", shown, room=WIDTH - 2 * STEP)
            lines += [" " * STEP + line for line in piece]
        lines.append(f"}} merge {step.merge}{names}")
        return lines

    def _path(self, path: Body) -> Body:
        return path or (OperatorStep("identity", ()),)

    def _split_head(self, step: SplitStep) -> str:
        words = ["split"]
        if step.sliced:
            words.append(value_words("widths", step.sliced))
        elif step.count:
            words.append(value_words("count", step.count))
        if step.sliced is not None:
            words.append("slice")
        return " ".join(words)

    def _pieces(self, step: Step) -> list[tuple[str, Body | None, str]]:
        """Opening, body and closing of each part of a statement with bodies."""
        if isinstance(step, ResidualStep):
            kind = step.kind
            plain = kind in ("auto", "body")
            opening = "residual" if plain else f"residual(shortcut={value_words('shortcut', kind)})"
            pieces: list[tuple[str, Body | None, str]] = [(opening, step.body, "")]
            if step.shortcut is not None:
                pieces.append(("shortcut", step.shortcut, ""))
            return pieces
        if isinstance(step, RepeatStep):
            return [(f"repeat {value_words('count', step.count)}", step.body, "")]
        if isinstance(step, OptionalStep):
            branches: list[tuple[str, Body | None, str]] = [(f"if {value_words('flag', step.flag)}", step.body, "")]
            return [*branches, ("else", step.otherwise, "")] if step.otherwise else branches
        if isinstance(step, SplitStep):
            closing = f" merge {step.merge}"
            if step.count:
                return [(self._split_head(step), self._path(step.paths[0]), closing)]
            paths = " ".join(f"path {self.flat_body(self._path(path)) or _TOO_LONG}" for path in step.paths)
            return [(f"{self._split_head(step)} {{ {paths} }}{closing}", None, "")]
        return []


_TOO_LONG = "?" * WIDTH


def _opens_a_row(step: Step) -> bool:
    """Whether a statement is a layer, which begins a row if the row before it is long enough."""
    if isinstance(step, OperatorStep):
        return OPERATORS[step.operator].multiplies or OPERATORS[step.operator].kind == "pooling"
    return not isinstance(step, ActivationStep)


def _stands_alone(step: Step) -> bool:
    return isinstance(step, DeclaredStep)
