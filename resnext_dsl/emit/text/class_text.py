"""The text of a class: its constructor from the modules that it holds, its forward from its steps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby

from resnext_dsl.emit.blocks.module_block import ForwardStep
from resnext_dsl.emit.patterns.pattern_tree import (
    AffineSlot,
    BuiltPattern,
    ChoicePattern,
    ClassPattern,
    Hole,
    LeafPattern,
    Listed,
    LoopPattern,
    NamedPattern,
    NumberedPattern,
    OptionalPattern,
    Pattern,
    Slot,
    StepPattern,
    holes,
)
from resnext_dsl.emit.patterns.wiring import inner_pattern, is_slot, step_groups
from resnext_dsl.emit.text.call_layout import WIDTH, Bracketed, Code, broken, call, indented, lines, prefixed, suffixed
from resnext_dsl.emit.text.forward import References, Writer, inputs_of, tensors
from resnext_dsl.emit.text.parameters import ConstructorParameter, Parameters
from resnext_dsl.emit.text.python_names import identifier, literal, unused
from resnext_dsl.operators.ranks import RANKS

_POSITIONAL: dict[str, tuple[str, ...]] = {
    **{
        f"nn.{name}{rank}d": ("in_channels", "out_channels", "kernel")
        for name in ("Conv", "ConvTranspose")
        for rank in RANKS
    },
    "nn.Linear": ("in_features", "out_features"),
    **{f"nn.BatchNorm{rank}d": ("num_features",) for rank in RANKS},
    "nn.GroupNorm": ("groups", "num_features"),
    **{f"nn.{name}{rank}d": ("kernel",) for name in ("MaxPool", "AvgPool") for rank in RANKS},
    "nn.Dropout": ("p",),
    **{f"nn.Dropout{rank}d": ("p",) for rank in RANKS},
    "DropPath": ("p",),
    "nn.ChannelShuffle": ("groups",),
    "LayerScale": ("num_features", "init"),
    **{f"GlobalResponseNorm{number}": ("num_features",) for number in ("", "1d", "3d")},
    **{f"ChannelConv{number}": ("kernel",) for number in ("", "1d", "3d")},
    "PartSoftmax": ("parts",),
    "UnitShuffle": ("groups", "unit"),
    "FixedConv2d": ("num_features", "kernel"),
    "BlurPool2d": ("num_features", "kernel"),
    "StandardizedConv2d": ("in_channels", "out_channels", "kernel"),
    "Conv2dSame": ("in_channels", "out_channels", "kernel"),
    "MaxPool2dSame": ("kernel",),
    "AvgPool2dSame": ("kernel",),
}
"""Module class -> names of its positional arguments, after which constructor parameters are named."""

_NAME = re.compile(r"[A-Za-z_]\w*")

Classes = Mapping[str, list[ConstructorParameter]]


class ClassText:
    """Writes one class.

    Attributes:
        parameters: The constructor's parameters; complete after `text`.
        settings: Statements that store the values that the forward reads; complete after `text`.
    """

    def __init__(self, pattern: ClassPattern, classes: Classes) -> None:
        self.pattern = pattern
        self.parameters = Parameters(pattern)
        self._classes = classes
        self._children = dict(pattern.children)
        self._taken = {name for name, _ in pattern.children}
        self._conditions: dict[str, str] = {}
        self._attributes: dict[str, str] = {}
        self.settings: list[str] = []
        self._guards = self._find_guards()

    def text(self, name: str) -> list[str]:
        """The class as lines."""
        children, forward = self.children(), self.forward()
        base = "nn.ModuleList" if self.pattern.listed else "nn.Module"
        opening = [children[0]] if self.pattern.listed else ["super().__init__()"]
        signature = ["self", *(_formal(parameter) for parameter in self.parameters.finished())]
        constructor = [*opening, *self.settings, *(children[1:] if self.pattern.listed else children)]
        return [
            f"class {identifier(name)}({base}):",
            *lines(Bracketed("def __init__(", tuple(signature), ") -> None:"), 1, WIDTH + 12),
            *indented(constructor, 2),
            "",
            *indented(forward),
        ]

    def children(self) -> list[str]:
        """The statements that construct the modules."""
        if self.pattern.listed:
            (pattern,) = self._children.values()
            assert isinstance(pattern, NumberedPattern)
            return lines(prefixed("super().__init__(", suffixed(self._list(pattern, ""), ")")))
        body = []
        for guard, group in groupby(self.pattern.children, key=lambda child: self._guards.get(child[0], "")):
            statements = [line for child, pattern in group for line in self._child(child, pattern)]
            body += [f"if {guard}:", *indented(statements)] if guard else statements
        return body

    def forward(self) -> list[str]:
        """The forward as lines."""
        names = inputs_of(self.pattern.inputs)
        values = ["self", *(f"{name}: Tensor" for name in names.values())]
        result = tensors(len(self.pattern.outputs))
        writer = Writer(self.references(), self.pattern.steps, names, self.pattern.outputs)
        returned = ", ".join(writer.write())
        body = [line for text in [*writer.lines, f"return {returned}"] for line in broken(text)]
        return [*lines(Bracketed("def forward(", tuple(values), f") -> {result}:")), *indented(body)]

    def references(self) -> References:
        """How the forward of this class refers to children and settings."""
        return References(
            self.access, self._size, self._literal, lambda step: self._conditions[step.step.name], self._call
        )

    def access(self, path: str) -> str:
        """The expression for the child at a path."""
        if self.pattern.listed:
            return f"self[{path}]" if path else "self"
        first, *rest = path.split(".")
        text, outer = f"self.{identifier(first)}", first
        for name in rest:
            if name.isidentifier():
                text += f".{identifier(name)}"
            else:
                numbered = isinstance(self._at(outer), NumberedPattern)
                text += f"[{name}]" if numbered else f'["{name}"]'
            outer = f"{outer}.{name}"
        return text

    def _at(self, path: str) -> Pattern | None:
        """The pattern of the module at a path, without its condition."""
        pattern = inner_pattern(self._children, path)
        return None if pattern is None else _body(pattern)

    def code(self, pattern: Pattern, child: str) -> Code:
        """The expression that constructs a module."""
        if isinstance(pattern, LeafPattern):
            return self._leaf(pattern, child)
        if isinstance(pattern, BuiltPattern):
            return self._built(pattern, child)
        if isinstance(pattern, NamedPattern):
            return self._named(pattern)
        if isinstance(pattern, NumberedPattern):
            return self._numbered(pattern, child)
        if isinstance(pattern, OptionalPattern):
            return _either(self.code(pattern.body, child), self._flag(pattern.flag, child), "nn.Identity()")
        return self._choice(pattern, child)

    # --- optional steps ---

    def _find_guards(self) -> dict[str, str]:
        """Optional child -> its condition, as an expression of the constructor's parameters."""
        guards: dict[str, str] = {}
        for group in step_groups(self.pattern.steps):
            if group[0].flag is None or is_slot(group):
                continue
            condition = self._condition(group)
            for pattern in group:
                child = pattern.step.child.partition(".")[0]
                if child and isinstance(self._children[child], OptionalPattern):
                    guards[child] = condition
        return guards

    def _condition(self, group: list[StepPattern]) -> str:
        """The condition of a group in the constructor; an attribute stores it for the forward."""
        flag = group[0].flag
        assert flag is not None
        last = group[-1].step.name.replace(".", "_")
        wanted = "residual" if last == "add" else f"has_{group[0].step.name.replace('.', '_')}"
        text = self._flag(flag, wanted)
        words = text.split(" ")
        if len(words) <= 2:
            kept = " ".join([*words[:-1], f"self.{self._kept(words[-1])}"])
        else:
            kept = text = f"self.{self._set(wanted, text)}"
        self._conditions.update({pattern.step.name: kept for pattern in group})
        return text

    def _set(self, wanted: str, text: str) -> str:
        """The attribute that stores the value of an expression."""
        if text not in self._attributes:
            attribute = unused(wanted, self._taken)
            self._taken.add(attribute)
            self.settings.append(f"self.{attribute} = {text}")
            self._attributes[text] = attribute
        return self._attributes[text]

    def _kept(self, parameter: str) -> str:
        return self._set(parameter, parameter)

    def _flag(self, slot: Slot, name: str) -> str:
        return self.parameters.flag(slot, name if name.startswith(("has_", "residual")) else f"has_{name}")

    # --- the constructor ---

    def _child(self, name: str, pattern: Pattern) -> list[str]:
        self.parameters.child = name
        if name in self._guards and isinstance(pattern, OptionalPattern):
            pattern = pattern.body
        code = prefixed(f"self.{identifier(name)} = ", self.code(pattern, name))
        if isinstance(pattern, OptionalPattern) and len(lines(code)) > 1:
            body = prefixed(f"self.{name} = ", self.code(pattern.body, name))
            flag = self._flag(pattern.flag, name)
            return [f"if {flag}:", *lines(body, 1), "else:", f"    self.{name} = nn.Identity()"]
        return lines(code)

    def _leaf(self, pattern: LeafPattern, child: str) -> Code:
        target = self.parameters.module_class(pattern.target, child)
        known = _POSITIONAL.get(target, ())
        items: list[Code] = []
        for place, hole in enumerate(pattern.positional):
            items.append(self._hole(hole, child, known[place] if place < len(known) else f"argument{place + 1}"))
        items += [f"{name}={self._hole(hole, child, name)}" for name, hole in pattern.keywords]
        return call(target, items)

    def _built(self, pattern: BuiltPattern, child: str) -> Code:
        holes = dict(pattern.arguments)
        items: list[Code] = []
        for parameter in self._classes[pattern.name]:
            hole = holes[parameter.name]
            if parameter.annotation.startswith("type["):
                assert isinstance(hole, Slot)
                text = self.parameters.module_class(hole, parameter.name)
            else:
                text = self._hole(hole, child, parameter.name)
            if not parameter.default:
                items.append(text)
            elif text != parameter.default:
                items.append(f"{parameter.name}={text}")
        return call(pattern.name, items)

    def _named(self, pattern: NamedPattern) -> Code:
        if pattern.row or all(name.isidentifier() for name, _ in pattern.children):
            return call("Chain", [prefixed(f"{identifier(name)}=", self.code(c, name)) for name, c in pattern.children])
        items = [prefixed(f'"{name}": ', self.code(child, name)) for name, child in pattern.children]
        return Bracketed("nn.ModuleDict({", tuple(items), "})")

    def _numbered(self, pattern: NumberedPattern, child: str) -> Code:
        if pattern.container == "nn.Sequential":
            return call(pattern.container, [self._run(run, child) for run in pattern.runs])
        return prefixed(f"{pattern.container}(", suffixed(self._list(pattern, child), ")"))

    def _list(self, pattern: NumberedPattern, child: str) -> Code:
        """The modules as the argument of a list's constructor."""
        items = [self._run(run, child) for run in pattern.runs]
        only = items[0]
        if len(items) == 1 and isinstance(only, Bracketed) and only.opening == "*(":
            return Bracketed("", only.items, "", comma=False)
        return Bracketed("[", tuple(items), "]")

    def _run(self, run: LoopPattern, child: str) -> Code:
        if run.count is None:
            return self.code(run.body, child)
        listed = _listed(run.body)
        if listed:
            rows = [f"({', '.join(map(literal, row))})" for row in zip(*listed.values(), strict=True)]
            if len(listed) == 1:
                rows = [literal(value) for value in next(iter(listed.values()))]
            over: Code = Bracketed(f"for {', '.join(listed)} in (", tuple(rows))
        else:
            count = self.parameters.count(run.count, child)
            over = f"for {'i' if _has_line(run.body) else '_'} in range({count})"
        return Bracketed("*(", (self.code(run.body, child), over), ")", comma=False)

    def _choice(self, pattern: ChoicePattern, child: str) -> Code:
        *options, (_, last) = pattern.options
        code = self.code(last, child)
        for flag, body in reversed(options):
            code = _either(self.code(body, child), self._flag(flag, f"{child}_{_kind(body)}"), code)
        return code

    def _hole(self, hole: Hole, child: str, attribute: str) -> str:
        if isinstance(hole, Slot):
            return self.parameters.expression(hole, child, attribute)
        if isinstance(hole, Listed):
            return hole.name
        start = self.parameters.expression(hole.start, child, attribute)
        step = self.parameters.expression(hole.step, child, f"{attribute}_step")
        factor = "i" if step == "1" else f"i * {step}" if step.isidentifier() or step.isdigit() else f"i * ({step})"
        return factor if start == "0" else f"{start} + {factor}"

    # --- the forward ---

    def _call(self, step: ForwardStep, arguments: list[str]) -> str:
        return f"{self.access(step.child)}({', '.join(arguments)})"

    def _size(self, path: str) -> int | None:
        pattern = self._at(path)
        return pattern.size() if isinstance(pattern, NumberedPattern) else None

    def _literal(self, pattern: StepPattern, key: str) -> str:
        slot = dict(pattern.literals)[key]
        if slot.constant():
            return literal(slot.present()[0])
        text = self.parameters.expression(slot, pattern.step.name.rpartition(".")[2], key)
        return _NAME.sub(lambda name: f"self.{self._kept(name[0])}", text)


def _formal(parameter: ConstructorParameter) -> str:
    default = f" = {parameter.default}" if parameter.default else ""
    return f"{identifier(parameter.name)}: {parameter.annotation}{default}"


def _body(pattern: Pattern) -> Pattern:
    return pattern.body if isinstance(pattern, OptionalPattern) else pattern


def _either(code: Code, flag: str, other: Code) -> Code:
    if code == other:
        return code
    return Bracketed("(", (code, f"if {flag}", prefixed("else ", other)), ")", comma=False, soft=True)


def _kind(pattern: Pattern) -> str:
    if isinstance(pattern, BuiltPattern):
        return pattern.name.lower()
    if isinstance(pattern, LeafPattern):
        return str(pattern.target.present()[0]).rpartition(".")[2].lower()
    return "list" if isinstance(pattern, NumberedPattern) else "row"


def _has_line(pattern: Pattern) -> bool:
    return any(isinstance(hole, AffineSlot) for hole in holes(pattern))


def _listed(pattern: Pattern) -> dict[str, tuple[object, ...]]:
    return {hole.name: hole.values for hole in holes(pattern) if isinstance(hole, Listed)}
