"""Hypothesis strategies for the specs that people write: networks that make sense, of every construct.

Templates call templates; loops have passes that put in nothing at the start, in the middle, at the end or everywhere;
networks are derived of derived ones; parameters have domains; budgets limit the second part that calls a template.
Most of the specs are valid. In some, shapes do not fit.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from hypothesis import strategies as st
from reference_interpreter import MEASURES, measured, run_of
from reference_operators import RejectedError

import resnext_dsl as rx


class Parameter(NamedTuple):
    """A parameter: its default value and domain as a spec writes them, what a search may pick, and other values."""

    default: str
    domain: str
    picked: tuple[Any, ...]
    other: tuple[Any, ...] = ()

    @property
    def values(self) -> tuple[Any, ...]:
        """Values that an override may have."""
        return self.picked + self.other


PARAMETERS = {
    "width": Parameter("8", "{4, 8, 12}", (4, 8, 12), (20,)),
    "times": Parameter("2", "0..3", (0, 1, 2, 3), (4,)),
    "flag": Parameter("true", "{true, false}", (True, False)),
    "act": Parameter("relu", "{relu, silu}", ("relu", "silu")),
    "factor": Parameter("1.0", "{0.5, 1.0, 1.5}", (0.5, 1.0, 1.5), (1.25,)),
    "rows": Parameter("[8, 12]", "[{4, 8}, 8..12 step 4]", ([4, 8], [4, 12], [8, 8], [8, 12]), ([12, 4],)),
    "extra": Parameter("4", "{4, 8} when flag", (4, 8), (12,)),
    "rounding": Parameter("floor", "{floor, ceil}", ("floor", "ceil"), ("round",)),
}

FORMALS = {"c": "8", "n": "2", "on": "true", "f": "relu", "stride": "1"}
"""A template's parameters, and their default values."""

SHARED = (
    "template joined(v, c) { conv(c, 1x1); concat(v) }",
    "template pair(c) { conv(c, 1x1) as a; conv(4, 3x3) as b; use [b, a] }",
    """template crossed(c) {
        split len(value_in) as i {
            split { for x in value_in { path { use x; conv(c, 1x1) } } } merge add
            if i > 0 { relu }
        } merge list
    }""",
    "template joins(xs, c) { split { for x in xs { path { use x; conv(c, 1x1) } } } merge list; use value_here + value_in }",
)
"""Templates of every spec, for values and lists of values."""

TREE = """template tree(n, c) {
    if n > 1 { tree(n - 1, c) as left; relu; tree(n - 2, c); concat(left) } else { conv(c, 1x1) }
}"""
"""A template that calls itself."""

IMPORTS = ("conv_bn_act", "squeeze_excite", "basic", "bottleneck")
RESERVED = 200


class Written(NamedTuple):
    """A spec: the text of its main file, its other files by name, and the parameters that it declares."""

    main: str
    files: dict[str, str]
    parameters: tuple[str, ...]

    def load(self, **overrides: Any) -> rx.Network:
        """The network, by the package."""
        return rx.loads(self.main, root=self.folder(), **overrides)

    def folder(self) -> Path:
        """The folder with the other files."""
        for name, text in self.files.items():
            Path(_folder().name, name).write_text(text, encoding="utf-8")
        return Path(_folder().name)


@cache
def _folder() -> TemporaryDirectory[str]:
    """A folder for the files of one spec at a time."""
    return TemporaryDirectory()


class Names(NamedTuple):
    """The expressions that a place may use, by kind, and the templates that it may call."""

    widths: tuple[str, ...]
    counts: tuple[str, ...]
    flags: tuple[str, ...]
    acts: tuple[str, ...]
    strides: tuple[str, ...]
    templates: tuple[tuple[str, tuple[str, ...]], ...]

    def and_those_of(self, counter: str) -> Names:
        """The names in a loop; `counter` counts its passes, unless it is ""."""
        widths, counts, flags = ("first(8, 4)",), ("first(0, 1)", "last(0, 2)", "first(1, 0)"), ("first(false, true)",)
        if counter:
            widths += (f"4 * ({counter} + 1)",)
            counts += (counter, f"{counter} % 2", f"2 - {counter}" if counter == "i" else counter)
            flags += (
                f"{counter} != 1",
                f"{counter} == 0",
                f"{counter} % 2 == 1",
                f"{counter} > 5",
                "last(true, false)",
            )
        return self._replace(
            widths=self.widths + widths,
            counts=counts + self.counts,
            flags=flags + self.flags,
            strides=(*self.strides, "first(2, 1)"),
        )


LITERALS = Names(
    ("channels_here", "8", "4", "channels_in", "channels_here // 2 * 2", "max(4, channels_in)"),
    ("2", "0", "1", "3"),
    ("true", "false", "channels_here == 8", "channels_in > 4 and not false"),
    ("relu", "silu", "leaky", "bn")[:2],
    ("1", "2"),
    (),
)
OF_PARAMETERS = LITERALS._replace(
    widths=(
        *LITERALS.widths, "width", "scaled(8)", "rows[0]", "rows[-1]", "extra", "sum(rows)",
        "max([w * 2 for w in rows if w > 4])", "divisible(width * factor, 4)", "width if flag else 8",
        "rounding(width * factor / 3)", "rows[1:][0]", "sum(rows[:1])",
    ),
    counts=(*LITERALS.counts, "times", "len(rows)", "times - 1 if times > 0 else 0", "count(rows, 8)"),
    flags=(*LITERALS.flags, "flag", "width > 4", "not flag or factor >= 1", "rows[0] != rows[1]"),
    acts=("act", *LITERALS.acts),
)  # fmt: skip


@cache
def below(count: int) -> st.SearchStrategy[int]:
    """Ints from 0; to make a strategy takes longer than to draw from it."""
    return st.integers(0, count - 1)


class Writer:
    """Writes one spec with the choices of hypothesis."""

    def __init__(self, draw: st.DrawFn, smallest: bool) -> None:
        self._draw = draw
        self._values = 0
        self._left = 10 if smallest else 18

    def one(self, *choices: str) -> str:
        """One of these."""
        return choices[self._draw(below(len(choices)))]

    def chance(self, of: int = 2) -> bool:
        """False, or true once in `of`."""
        return self._draw(below(of)) == of - 1

    def body(self, names: Names, depth: int, keeps: str = "") -> str:
        """Statements. `keeps`: "size" for none that changes height and width, "shape" for none that changes the shape."""
        count = self._draw(st.integers(1, 3))
        text = self.one("; ", "\n").join(self.statement(names, depth, keeps) for _ in range(count))
        return f"\n{text}\n" if self.chance(3) else text

    def block(self, names: Names, depth: int, keeps: str = "") -> str:
        """A body in braces."""
        return f"{{ {self.body(names, depth + 1, keeps)} }}"

    def statement(self, names: Names, depth: int, keeps: str) -> str:
        """One statement, or a few that belong together."""
        self._left -= 1
        kinds = ["convolution", "layer"]
        if depth < 3 and self._left > 0:
            kinds += ["loop", "loop", "condition", "residual", "split", "paths", "slices", "for_each", "shared"]
            if keeps != "shape":
                kinds += ["value", "value", "several", "several"] + ["call", "call", "call"] * bool(names.templates)
            if keeps == "":
                kinds += ["library"]
        text: str = getattr(self, f"_{self.one(*kinds)}")(names, depth, keeps)
        return text

    def _convolution(self, names: Names, depth: int, keeps: str) -> str:
        channels = "channels_here" if keeps == "shape" else self.one(*names.widths)
        kernel = self.one("3x3", "1x1", "3", "1x3")
        rest = self.one("", ", bias=true", ", groups=channels_here" if channels == "channels_here" else ", dilation=1")
        if not keeps and self.chance(4):
            rest += self.one(f", stride={self.one(*names.strides)}", ", padding=valid")
        return f"conv({channels}, {kernel}{rest})"

    def _layer(self, names: Names, depth: int, keeps: str) -> str:
        free = ("maxpool(3x3, stride=2)", "avgpool(3x3, stride=2)", "upsample(2)", "subsample(2)") if not keeps else ()
        wider = ("split 2 { identity } merge concat", "pad_channels(channels_here + 4)") if keeps != "shape" else ()
        return self.one(
            "bn", "relu", *names.acts, "dropout(0.2)", "identity", "bn(affine=false)", "layernorm", "scale(0.5)",
            "layer_scale", "affine", "maxpool(3x3, stride=1)", "gelu", "bn; relu", *wider, *free,
        )  # fmt: skip

    def _loop(self, names: Names, depth: int, keeps: str) -> str:
        counter = self.one("", "i" if depth == 0 else f"i{depth}")
        inner = names.and_those_of(counter)
        alias = f" as {counter}" if counter else ""
        return f"repeat {self.one(*names.counts)}{alias} {self.block(inner, depth, keeps)}"

    def _for_each(self, names: Names, depth: int, keeps: str) -> str:
        inner = names.and_those_of("")._replace(widths=(f"k{depth}", *names.widths))
        values = self.one(
            "[4, 8]", "[]", "range(0)", "[8]", *(["rows", "rows[1:]", "rows[:-1]"] if "rows[0]" in names.widths else [])
        )
        if self.chance(3):
            pairs = inner._replace(flags=(f"b{depth}", *inner.flags))
            return f"for k{depth}, b{depth} in [[4, true], [8, false]] {self.block(pairs, depth, keeps)}"
        return f"for k{depth} in {values} {self.block(inner, depth, keeps)}"

    def _condition(self, names: Names, depth: int, keeps: str) -> str:
        text = f"if {self.one(*names.flags)} {self.block(names, depth, keeps)}"
        if self.chance(3):
            text += f" else if {self.one(*names.flags)} {self.block(names, depth, keeps)}"
        return text + (f" else {self.block(names, depth, keeps)}" if self.chance() else "")

    def _residual(self, names: Names, depth: int, keeps: str) -> str:
        kinds = ["identity", "auto", "pad"] if keeps == "shape" else ["skip", "projection", "auto"]
        if keeps == "" and self.chance(3):
            return f"residual{self.one('', '(shortcut=projection)')} {{ conv(8, 3x3, stride={self.one('2', *names.strides)}); bn }}"
        if keeps == "" and self.chance(3):
            body = self.one("conv(8, 3x3, stride=2)", "conv(8, 1x1); bn; subsample(2)")
            return f"residual {{ {body} }} shortcut {{ avgpool(2x2, stride=2, ceil=true); conv(8, 1x1) }}"
        kind = self.one("", *(f"(shortcut={kind})" for kind in kinds))
        return f"residual{kind} {self.block(names, depth, keeps)}"

    def _split(self, names: Names, depth: int, keeps: str) -> str:
        count = self.one("2", "1", "3", "times + 1" if "times" in names.counts else "2")
        if keeps == "shape" or self.chance():
            merge = self.one("add", "mul", "mean", "maximum")
            return f"split {count} {self.block(names, depth, 'shape')} merge {merge}"
        inner = names._replace(widths=(*names.widths, f"4 * (p{depth} + 1)"), flags=(*names.flags, f"p{depth} == 0"))
        return f"split {count} as p{depth} {self.block(inner, depth, 'size')} merge concat"

    def _paths(self, names: Names, depth: int, keeps: str) -> str:
        merge = self.one("add", "mean") if keeps == "shape" else self.one("concat", "add")
        inner = "size" if merge == "concat" else "shape"
        return (
            f"split {{ path {self.block(names, depth, inner)}; path {self.block(names, depth, inner)} }} merge {merge}"
        )

    def _slices(self, names: Names, depth: int, keeps: str) -> str:
        text = f"split 2 slice {self.block(names, depth, 'shape')} merge concat"
        return (
            f"if channels_here % 2 == 0 {{ {text} }}" if self.chance(3) or keeps == "shape" else f"conv(8, 1x1); {text}"
        )

    def _value(self, names: Names, depth: int, keeps: str) -> str:
        self._values += 1
        value, body = f"v{self._values}", self.body(names, depth + 1, "size")
        return self.one(
            f"relu as {value}; {body}; concat({value})",
            f"bn as {value}; {body}; use {value}; conv(8, 1x1)",
            f"relu as {value}; {body}; joined({value}, 8)",
            f"relu as {value}; joined({value}, 4); {body}; joined({value}, 4)",
            f"let {value} = channels_here * 2\nconv({value}, 1x1)",
            f"relu as {value}; maxpool(3x3, stride=2); {body}; resize(like={value}, mode={self.one('nearest', 'bilinear')}); concat({value})",
            f"relu as {value}; maxpool(3x3, stride=2) as {value}s; {body}; use {value}; crop({self.one('', 'like=')}{value}s); resize({value}); add({value})",
            f"tree({self.one(*names.counts)}, 4)",
            f"conv(8, 1x1) as {value}; slice(0, 4) as s{value}; use {value}; slice(4, 8); {self.one('add', 'concat')}(s{value})",
        )

    def _several(self, names: Names, depth: int, keeps: str) -> str:
        """A list of values that have one height and width, and a statement that leaves one value of them."""
        self._values += 3
        xs, a, b = (f"v{self._values - place}" for place in range(3))
        count, width = self.one("2", "1", "3", *names.counts[:2]), self.one(*names.widths)
        body = self.body(names, depth + 1, "size")
        makes = self.one(
            f"split {count} as q{depth} {{ conv({self.one('8', width, f'4 * (q{depth} + 1)')}, 1x1); {body} }} merge list as {xs}",
            f"split {{ path {{ conv(8, 1x1) }}; if {self.one(*names.flags)} {{ path {{ {body} }} }} }} merge list as {xs}",
            f"relu as {a}; {body}; use [{a}, value_here, value_in] as {xs}",
            f"conv(8, 1x1); use [value_here] as {xs}; repeat {count} {{ use {xs}[-1]; conv({self.one('8', width)}, 3x3); use {xs} + [value_here] as {xs} }}",
            f"pair({width}) as {a}, {b}; {body}; use [{b}, value_here] + [{a}] as {xs}",
            f"conv(8, 1x1) as {a}; use [{a}, value_here] as {xs}",
        )
        changes = self.one("", "", f"crossed({self.one('8', width)}) as {xs}b", f"joins({xs}, {width}) as {xs}b")
        xs = f"{xs}b" if changes else xs
        ends = self.one(
            "concat", "concat", "add", f"use {xs}[0]", f"use {xs}[-1]; concat({xs})", f"use {xs}[{self.one(*names.counts)}]",
            f"use {xs}[1:]; concat", f"concat({xs}[:-1])", f"use {xs}[{self.one(*names.counts)}:len({xs})]; concat",
            f"split {{ for x{depth} in {xs}[{self.one('0', '-1', *names.counts)}:] {{ path {{ use x{depth}; relu }} }} }} merge concat",
            f"split len({xs}) as q{depth} {{ use {xs}[q{depth}]; {body} }} merge concat",
            f"split {{ for x{depth}, k{depth} in zip({xs}, range(len({xs}))) {{ path {{ use x{depth}; conv(4 + k{depth}, 1x1) }} }} }} merge concat",
            f"for x{depth} in {xs} {{ use x{depth}; conv(channels_here, 1x1) }}",
            f"use {xs} as {a}c, {b}c; use {b}c; concat({a}c)", "split { path { concat } path { add; conv(4, 1x1) } } merge concat",
            f"use {xs}[0]; joined({xs}, {width})", f"use {xs}[0]; mean",
        )  # fmt: skip
        return "; ".join(text for text in (makes, changes, ends) if text)

    def _shared(self, names: Names, depth: int, keeps: str) -> str:
        """An instance and its uses, which keep the shape."""
        self._values += 1
        name, body, flag = f"s{self._values}", self.body(names, depth + 1, "shape"), self.one(*names.flags)
        width = self.one("channels_here", "channels_here", *names.widths)  # another width fits some values only
        callee = self.one(
            f"conv({width}, 3x3)",
            "conv(channels_here, 1x1, bias=true)",
            "bn",
            f"conv_bn_act(channels_here, 3x3, act={self.one(*names.acts)})",
            *names.acts,
        )
        uses = self.one(
            f"{name}; {body}; {name}",
            f"repeat {self.one(*names.counts)} {{ {name} }}",
            f"split 2 {{ {name}; {body} }} merge add",
            f"if {flag} {{ {name} }}; {name}",
            f"if {flag} {{ {name} }} else {{ {body} }}\n{name}",
            f"residual(shortcut=skip) {{ {name}; {body}; {name} }}",
        )
        return f"shared {name} = {callee}; {uses}"

    def _call(self, names: Names, depth: int, keeps: str) -> str:
        name, formals = self._draw(st.sampled_from(names.templates))
        strided = "stride" in formals and keeps != ""
        text = f"{name}({self.arguments(names, formals, strided)})"
        return text if keeps == "" else f"if channels_in > 99 {{ {text} }}"

    def arguments(self, names: Names, formals: tuple[str, ...], unstrided: bool = False) -> str:
        """The arguments of a template: some in order, some by name, some left to their defaults."""
        choices = {"c": names.widths, "n": names.counts, "on": names.flags, "f": names.acts, "stride": names.strides}
        values = {
            formal: self.one(*(("1",) if formal == "stride" and unstrided else choices[formal])) for formal in formals
        }
        ordered = self._draw(st.integers(0, len(formals)))
        named = [formal for formal in formals[ordered:] if formal == "c" or self.chance()]
        return ", ".join([*(values[f] for f in formals[:ordered]), *(f"{f}={values[f]}" for f in named)])

    def _library(self, names: Names, depth: int, keeps: str) -> str:
        width = self.one(*names.widths)
        return self.one(
            f"conv_bn_act({width}, 3x3, act={self.one(*names.acts)})",
            "squeeze_excite(4)",
            f"basic({width}, stride={self.one(*names.strides)})",
            f"bottleneck({width}, 4, 2, {self.one(*names.strides)})",
        )

    def template(self, number: int, names: Names) -> tuple[str, tuple[str, ...], str]:
        """A template: its name, its parameters, and its text."""
        formals = tuple(name for name in FORMALS if name == "c" or self.chance())
        inner = names._replace(
            widths=(*names.widths, "c", "c * 2"),
            counts=(*(["n"] if "n" in formals else []), *names.counts),
            flags=(*(["on", "not on"] if "on" in formals else []), *names.flags),
            acts=(*(["f"] if "f" in formals else []), *names.acts),
            strides=(*(["stride"] if "stride" in formals else []), *names.strides),
        )
        declared = ", ".join(name if name == "c" else f"{name} = {FORMALS[name]}" for name in formals)
        name = f"unit{number}"
        return name, formals, f"template {name}({declared}) {{ {self.body(inner, 1)} }}"

    def stage(self, number: int, names: Names) -> str:
        """A stage, which often calls a template that another one calls too."""
        repeats = self.one("", f" repeat {self.one(*names.counts)}", f" repeat {self.one(*names.counts)} as i")
        inner = names.and_those_of("i" if repeats.endswith("as i") else "") if repeats else names
        if names.templates and self.chance():
            name, formals = names.templates[0]
            text = f"{name}({self.arguments(inner, formals)})"
            body = self.one(f"{{ {text} }}", f"{{ if {self.one(*inner.flags)} {{ {text} }} }}")
        else:
            body = self.block(inner, 0)
        return f"stage s{number}{repeats} {body}{self.one('', f' as t{number}')}"


@st.composite
def written_specs(draw: st.DrawFn, levels: int = 2, budgets: bool = True, smallest: bool = False) -> Written:
    """Specs; `levels` is the most derived networks inside each other."""
    writer = Writer(draw, smallest)
    outside, inside, templates = [], [], ()
    for number in range(draw(st.integers(0, 2))):
        is_library = writer.chance(3) and number == 0
        names = (LITERALS if is_library else OF_PARAMETERS)._replace(templates=templates)
        name, formals, text = writer.template(number, names)
        (outside if is_library else inside).append(text)
        templates = ((name, formals), *templates)
    if templates and writer.chance(4):
        name, formals = templates[0]
        inside.append(f"let filled = {name}({formals[-1]}={FORMALS[formals[-1]]})")
        templates = (("filled", formals[:-1]), *templates)
    names = OF_PARAMETERS._replace(templates=templates)
    parts = [f"stem {writer.block(names, 1)}"] * writer.chance(3)
    stages = draw(st.integers(1, 3))
    for number in range(stages):
        parts.append(writer.stage(number, names))
        if number == 0 and writer.chance():
            # The same text in two stages, which expansion copies.
            parts += [
                "conv(8, 1x1)",
                *(parts[-1].replace(" as t0", "").replace("stage s0", f"stage s{k}") for k in "89"),
            ]
        if writer.chance(4):
            parts.append(writer.statement(names, 2, ""))
    if writer.chance(4):
        parts.append(f"output aux {writer.one('', 'when training ')}from s0 {{ conv(8, 1x1); relu }}")
    if writer.chance(4):
        several = writer.one("[s0, value_here]", "[value_here]", "[s0, image] + [s0]")
        parts.append(
            f"output more {writer.one('', 'when training ')}from {several} {writer.one('', '{ conv(8, 1x1) }')}"
        )
    parts.append(
        writer.one(
            "head { avgpool(global); flatten; linear(10) }", "conv(4, 1x1)", "head { avgpool(global); flatten; linear(10) }",
            "conv(4, 1x1); use [value_here, s0]", "split 2 as k { conv(k + 1, 1x1) } merge list",
        )
    )  # fmt: skip
    settings = [f"default {writer.one('bn(eps=1e-3)', 'conv(bias=true)', 'dropout(0.1)')}"] * writer.chance(4)
    body = "\n".join([*inside, *settings, *parts])
    return _file(writer, body, outside, draw(st.integers(0, levels)), budgets)


def _file(writer: Writer, body: str, outside: list[str], levels: int, budgets: bool) -> Written:
    """The files of a network with this body and so many derived networks around it."""
    declared = ["fn scaled(c) = divisible(c * factor, 4)"] * ("scaled(" in body)
    outside = [*SHARED, TREE, *outside]
    used = [name for name in PARAMETERS if re.search(rf"\b{name}\b", "\n".join([body, *declared]))]
    used = [name for name in PARAMETERS if name in used or (name == "flag" and "extra" in used)]
    lines = [f"param {name} = {PARAMETERS[name].default} in {PARAMETERS[name].domain}" for name in used]
    library = [name for name in IMPORTS if f"{name}(" in body or any(f"{name}(" in text for text in outside)]
    imports = [f"from std.blocks import {', '.join(library)}"] * bool(library)
    size = writer.one("3x9x9", "3x8x8", "2x6x10")
    text = "\n".join([*imports, *outside, "network n0 {", f"input image: {size}", *lines, *declared, body, "}"])
    files: dict[str, str] = {}
    for level in range(1, levels + 1):
        files[f"n{level - 1}.arch"] = text
        given = [name for name in used if writer.chance()]
        values = ", ".join(f"{name}={_shown(writer._draw(st.sampled_from(PARAMETERS[name].values)))}" for name in given)
        entries = writer.one("", " { default bn(eps=1e-2) }", " { require 1 + 1 == 2 }")
        text = f'from "n{level - 1}.arch" import n{level - 1}\nnetwork n{level} = n{level - 1}({values}){entries}'
    written = Written(text, files, tuple(used))
    return _with_budgets(writer, written) if budgets else written


def _shown(value: Any) -> str:
    """A value as a spec writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _with_budgets(writer: Writer, written: Written) -> Written:
    """The spec with limits at, just below and just above what its parts have."""
    try:
        run = run_of(written.main, written.folder(), {})
    except RejectedError:
        return written
    limits = []
    for measure in sorted(writer._draw(st.sets(st.sampled_from(MEASURES), min_size=1, max_size=3))):
        parts = ["", *sorted((part for part in run.parts if part and part[0] == "s"), reverse=True)]
        part = writer._draw(st.sampled_from(parts))
        bound = max(0, measured(run, part, measure) + writer._draw(st.sampled_from((0, -1, 1))))
        subject = f"{part}.{measure}" if part else measure
        limits.append(
            writer.one(f"{subject} < {bound}", f"{subject} <= {bound}", f"{subject} in {bound // 2}..{bound}")
        )
    conditions = writer.one("", " small", " other(input=3x12x12)" if "3x" in written.main else "")
    budget = f"budget{conditions} {{ {'; '.join(limits)} }}"
    text = written.main
    if text.endswith("}"):
        return written._replace(main=f"{text[:-1]}\n{budget} }}")
    return written._replace(main=f"{text} {{ {budget} }}")
