"""The statements of a forward, from its steps.

Steps nest into one statement while the next step is the only reader of each value. At most one of them is heavy: a
convolution, a linear layer or a module of several layers. An example: `x = self.relu1(self.bn1(self.conv1(x)))`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from resnext_dsl.emit.blocks.module_block import ForwardStep, Ref
from resnext_dsl.emit.patterns.pattern_tree import StepPattern
from resnext_dsl.emit.patterns.wiring import is_slot, passed_on, step_groups
from resnext_dsl.emit.text.call_layout import INDENT, WIDTH
from resnext_dsl.emit.text.python_names import unused

_RUNNING = ("x", "out")
_DEPTH = 3
"""The most calls that nest in one statement."""

_EXPLICIT = 3
"""The most paths whose sum is written as one expression."""


@dataclass(frozen=True, slots=True)
class References:
    """How the forward of a class refers to children, literals and conditions.

    Attributes:
        access: Path of a child -> expression for the child.
        size: Path of a list of children -> its length; None if instances differ in it.
        literal: (step, key) -> expression for a literal of the step's text.
        flag: First step of an optional group -> expression for whether the group is present.
        call: (step, arguments) -> expression for the call of the step's module.
        stage: Name of the method that runs a stage.
    """

    access: Callable[[str], str]
    size: Callable[[str], int | None]
    literal: Callable[[StepPattern, str], str]
    flag: Callable[[StepPattern], str]
    call: Callable[[ForwardStep, list[str]], str]
    stage: str = ""


@dataclass(slots=True)
class Writer:
    """Writes the statements of one method.

    Attributes:
        references: How the class refers to its children.
        steps: The steps to write.
        names: Value -> the variable that holds it at this point.
        wanted: The values that the statements must compute.
        kept: Variables that must keep their values.
        lines: The statements written so far.
    """

    references: References
    steps: Sequence[StepPattern]
    names: dict[Ref, str]
    wanted: Sequence[Ref]
    kept: frozenset[str] = frozenset()
    lines: list[str] = field(default_factory=list)
    _reads: Counter[Ref] = field(default_factory=Counter)
    _freed: dict[Ref, str] = field(default_factory=dict)
    _pending: dict[Ref, str] = field(default_factory=dict)
    _nested: tuple[int, bool] = (0, False)

    def write(self) -> list[str]:
        """Write the statements into `lines`; return the expressions for the wanted values."""
        for pattern in self.steps:
            self._reads.update(pattern.step.inputs)
        self._reads.update(self.wanted)
        self.names = {ref: name for ref, name in self.names.items() if self._reads[ref]}
        groups = step_groups(self.steps)
        for number, group in enumerate(groups):
            following = groups[number + 1] if number + 1 < len(groups) else None
            if group[0].flag is not None and not is_slot(group):
                self._guarded(group)
            else:
                self._step(group[0], following)
        return [self._take(ref) for ref in self.wanted]

    def _step(self, pattern: StepPattern, following: list[StepPattern] | None) -> None:
        step = pattern.step
        if self._is_loop(step):
            self._loop(step)
            return
        text = self._text(pattern)
        result: Ref = (step.name, 0)
        depth, heavy = self._nested
        self._nested = (depth + 1, heavy or step.heavy)
        if self._nests(step, text, following):
            self._pending[result] = text
            return
        self._nested = (0, False)
        if step.outputs > 1:
            self._unpack(step, text)
        elif self._reads[result]:
            self._assign(step, text)
        else:
            self.lines.append(text)

    def _is_loop(self, step: ForwardStep) -> bool:
        if step.kind == "merge" and "{paths}" not in step.text:
            return step.chunks or (self.references.size(step.child) or _EXPLICIT + 1) > _EXPLICIT
        return step.kind in ("loop", "stages")

    def _text(self, pattern: StepPattern) -> str:
        step = pattern.step
        if step.kind == "merge":
            return self._joined(step)
        arguments = [self._take(ref) for ref in step.inputs]
        if step.kind == "call":
            return self.references.call(step, arguments)
        literals = {key: self.references.literal(pattern, key) for key, _ in pattern.literals}
        places = [_operand(step.text, place, text) for place, text in enumerate(arguments)]
        return step.text.format(*places, **literals)

    def _joined(self, step: ForwardStep) -> str:
        value = self._take(step.inputs[0])
        container = self.references.access(step.child)
        if "{paths}" not in step.text:
            text = f"{container}[0]({value})"
            for number in range(1, self.references.size(step.child) or 0):
                text = step.text.format(text, f"{container}[{number}]({value})")
            return text
        if not step.chunks:
            return step.text.replace("{paths}", f"path({value}) for path in {container}")
        self._chunked(step, value, container)
        return step.text.replace("{paths}", f"path(parts[k]) for k, path in enumerate({container})")

    def _chunked(self, step: ForwardStep, value: str, container: str) -> None:
        self.lines.append(f"parts = {value}.chunk({self.references.size(step.child) or f'len({container})'}, 1)")

    def _loop(self, step: ForwardStep) -> None:
        """Write statements for a list of children, which run in turn, or side by side with their results summed."""
        arguments = [self._take(ref) for ref in step.inputs]
        if step.kind in ("loop", "stages"):
            self._in_turn(step, arguments)
            return
        self._summed(step, self.references.access(step.child), arguments[0])

    def _in_turn(self, step: ForwardStep, arguments: list[str]) -> None:
        name = self._name(step)
        if name != arguments[0]:
            self.lines.append(f"{name} = {arguments[0]}")
        inner = [name, *arguments[1:]]
        if step.kind == "loop":
            self.lines.append(f"for child in {self.references.access(step.child)}:")
            self.lines.append(f"{INDENT}{name} = child({', '.join(inner)})")
        else:
            stages = ", ".join(self.references.access(child) for child in step.child.split(" "))
            self.lines.append(f"for stage in ({stages}):")
            self.lines.append(f"{INDENT}{name} = self.{self.references.stage}({', '.join(['stage', *inner])})")
        self.names[step.name, 0] = name

    def _summed(self, step: ForwardStep, container: str, value: str) -> None:
        # Path by path, so that memory holds only the sum and the value of one path at a time.
        name = self._name(step, keep=value)
        if step.chunks:
            self._chunked(step, value, container)
            self.lines.append(f"{name} = {container}[0](parts[0])")
            self.lines.append(f"for k in range(1, len({container})):")
            self.lines.append(f"{INDENT}{name} = {step.text.format(name, f'{container}[k](parts[k])')}")
        else:
            self.lines.append(f"paths = iter({container})")
            self.lines.append(f"{name} = next(paths)({value})")
            self.lines.append("for path in paths:")
            self.lines.append(f"{INDENT}{name} = {step.text.format(name, f'path({value})')}")
        self.names[step.name, 0] = name

    def _guarded(self, group: list[StepPattern]) -> None:
        """Write `if self.flag:` and the steps of a group; if the flag is false, the value stays unchanged."""
        result: Ref = (group[-1].step.name, 0)
        before = passed_on(group)
        old = self.names[before]
        inside = Counter(ref for pattern in group for ref in pattern.step.inputs)
        name = old if self._reads[before] == inside[before] else self._free(group[-1].step, keep="")
        if name != old:
            self.lines.append(f"{name} = {old}")
        flag = self.references.flag(group[0])
        kept = self.kept | {held for ref, held in self.names.items() if self._reads[ref] > inside[ref]}
        inner = Writer(self.references, [_always(pattern) for pattern in group], dict(self.names), [result], kept)
        (text,) = inner.write()
        self.lines.append(f"if {flag}:")
        self.lines += [INDENT + line for line in inner.lines]
        self.lines.append(f"{INDENT}{name} = {text}")
        for ref, times in inside.items():
            if ref in self.names:
                self._read(ref, times)
        self.names[result] = name

    def _nests(self, step: ForwardStep, text: str, following: list[StepPattern] | None) -> bool:
        """Whether the expression for a value nests in the next statement."""
        result: Ref = (step.name, 0)
        if step.outputs > 1 or self._reads[result] != 1 or len(text) > WIDTH - 15:
            return False
        if following is None:
            return result in self.wanted and len(self.wanted) == 1
        after = following[0].step
        optional = following[0].flag is not None and not is_slot(following)
        if optional or after.kind in ("merge", "loop", "stages") or result not in after.inputs:
            return False
        depth, heavy = self._nested
        if depth >= _DEPTH or (heavy and after.heavy):
            return False
        return after.kind == "call" or after.text.count(f"{{{after.inputs.index(result)}}}") == 1

    def _take(self, ref: Ref) -> str:
        if ref in self._pending:
            return self._pending.pop(ref)
        name = self.names[ref]
        self._read(ref, 1)
        return name

    def _read(self, ref: Ref, times: int) -> None:
        """Count reads of a value; after the last read, its variable is free."""
        self._reads[ref] -= times
        if not self._reads[ref]:
            self._freed[ref] = self.names.pop(ref)

    def _assign(self, step: ForwardStep, text: str) -> None:
        name = self._name(step)
        self.lines.append(f"{name} = {text}")
        self.names[step.name, 0] = name

    def _unpack(self, step: ForwardStep, text: str) -> None:
        names = []
        for number in range(step.outputs):
            if not self._reads[step.name, number]:
                names.append("_")
                continue
            name = self._name(step) if number == 0 else self._free(step, keep="", running=())
            self.names[step.name, number] = name
            names.append(name)
        self.lines.append(f"{', '.join(names)} = {text}")

    def _name(self, step: ForwardStep, keep: str = "") -> str:
        """The variable for the value of a step: the variable of an input that is free by now, or a new one."""
        result: Ref = (step.name, 0)
        lasting = self._reads[result] > 1 or (result in self.wanted and len(self.wanted) > 1)
        if lasting and step.kind == "call" and step.heavy and "." not in step.child:
            return self._free(step, keep, running=())
        for ref in step.inputs:
            name = self._freed.get(ref, "")
            if name in _RUNNING and name not in self._live() and name != keep:
                return name
        return self._free(step, keep)

    def _free(self, step: ForwardStep, keep: str, running: tuple[str, ...] = _RUNNING) -> str:
        taken = {*self._live(), keep}
        for name in running:
            if name not in taken:
                return name
        name = step.name.replace(".", "_")
        return unused(name if name.isidentifier() else f"value{name}", {*taken, *_RUNNING, *_LOOPS})

    def _live(self) -> frozenset[str]:
        return self.kept.union(self.names.values())


_LOOPS = ("path", "paths", "parts", "child", "stage", "k")


def _always(pattern: StepPattern) -> StepPattern:
    return StepPattern(pattern.step, pattern.literals, None)


def _operand(text: str, place: int, argument: str) -> str:
    """An argument as an operand of an expression, in brackets if operators inside it would bind wrongly."""
    bare = f"{{{place}}}"
    apart = _has_operator(argument) and (_has_operator(text) or f"{bare}[" in text or f"{bare}." in text)
    return f"({argument})" if apart else argument


def _has_operator(text: str) -> bool:
    depth = 0
    for letter in text:
        depth += letter in "([{"
        depth -= letter in ")]}"
        if letter == " " and depth == 0:
            return True
    return False


def inputs_of(count: int) -> dict[Ref, str]:
    """Names of the inputs of a forward."""
    names: Mapping[int, list[str]] = {1: ["x"], 2: ["x", "skip"]}
    chosen = names.get(count) or ["x", *(f"skip{number}" for number in range(1, count))]
    return {("", place): name for place, name in enumerate(chosen)}


def tensors(count: int) -> str:
    """The type annotation of a number of tensors."""
    if count == 1:
        return "Tensor"
    return f"tuple[{', '.join(['Tensor'] * count)}]" if count <= 4 else "tuple[Tensor, ...]"
