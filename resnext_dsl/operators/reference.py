"""The reference of the operators, docs/operators.md, as text made from the table."""

from __future__ import annotations

import re

from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.arguments import LARGEST, AttributeField, arguments_of, value_text
from resnext_dsl.operators.base import Attributes
from resnext_dsl.operators.row import Operator

_OPENING = f"""\
# Operators

Every operator of the language. This page is made from the operator table by `resnext_dsl.operators.reference`.

An operator stands in a body by its name, with arguments by position or name: `conv(64, 3x3, stride=2)`, `relu`. An
argument without a default must be given. A size, stride or padding is a shape, `3x1` for height and width, or an int
for both. Words such as `same` need no quotes. No int is above {LARGEST}.

A map has channels, height and width; features are what `flatten` leaves. Parameters are learned scalars. FLOPs are
those that fvcore counts in eval mode, one fused multiply-add as one; "not counted" says that fvcore counts none.
"""

_HEADINGS = {
    "convolution": "Convolutions",
    "linear": "Linear layers",
    "normalization": "Normalizations",
    "activation": "Activations",
    "pooling": "Pooling",
    "merge": "Operators of several values",
    "regularization": "Regularization",
    "scaling": "Scaling",
    "shape": "Shape",
}

_KIND_NOTES = {
    "convolution": (
        "`padding=same` is half the reach of the kernel, `dilation * (kernel - 1) // 2`, on every side: at stride 1 an"
        " odd kernel keeps the size. `padding=valid` is none. FLOPs: weights times positions of the kernel, in the"
        " output for `conv` and in the input for `conv_transpose`. What they put out counts as activations."
    ),
    "linear": "FLOPs: weights. What it puts out counts as activations.",
    "normalization": (
        "FLOPs an element: `bn` 2, or 1 without `affine`; `layernorm`, `groupnorm` and `instancenorm` 5, or 4 without"
        " `affine`. `instancenorm` has no `affine` by default, as in torch."
    ),
    "activation": "They take maps and features alike. None is counted in FLOPs.",
    "pooling": (
        "`stride` is the kernel's size where it is not given; `padding` as for `conv`. At most half of the kernel can"
        " be padded, which `same` exceeds where `maxpool` is dilated. With `global` the window is the"
        " whole map, and the other arguments have no effect. FLOPs: one an element of the input for `avgpool(global)`"
        " and `adaptive_avgpool`."
    ),
    "merge": (
        "The running value comes first, then the values given. With one value each of them is that value, so"
        " that `split 1 { ... } merge add` is its path."
    ),
    "regularization": "They act while training only.",
    "scaling": "",
    "shape": "FLOPs of `upsample`: one an element of the output, four where it is bilinear.",
}


def meanings_of(attributes: type[Attributes]) -> dict[str, str]:
    """The meaning of each argument, from the docstring of the class that declares it.

    >>> from resnext_dsl.operators.regularization import DropPath
    >>> meanings_of(DropPath)
    {'p': 'probability that a sample becomes zero'}
    """
    _, _, section = (attributes.__doc__ or "").partition("Attributes:\n")
    entries = re.findall(r"^ +(\w+): (.+)\.$", section, re.MULTILINE)
    return {name: meaning[0].lower() + meaning[1:] for name, meaning in entries}


def reference() -> str:
    """The text of docs/operators.md."""
    kinds = list(dict.fromkeys(row.kind for row in OPERATORS.values()))
    sections = [_section(kind, [row for row in OPERATORS.values() if row.kind == kind]) for kind in kinds]
    return "\n".join([_OPENING, *sections])


def _section(kind: str, rows: list[Operator]) -> str:
    lines = [f"## {_HEADINGS[kind]}", ""]
    if _KIND_NOTES[kind]:
        lines += [_KIND_NOTES[kind], ""]
    lines += ["| operator | what it does | FLOPs |", "|---|---|---|"]
    lines += [f"| `{signature(row)}` | {row.summary} | {_counted(row)} |" for row in rows]
    arguments = _argument_lines(rows)
    if arguments:
        lines += ["", "| argument | of | what it is | values |", "|---|---|---|---|", *arguments]
    return "\n".join([*lines, ""])


def _counted(row: Operator) -> str:
    return "not counted" if row.flops is None else "counted"


def signature(row: Operator) -> str:
    """The operator as its definition would be written: `conv_transpose(channels, kernel, stride=1, ...)`."""
    shown = [argument.name + _default(argument) for argument in arguments_of(row.attributes)]
    if row.merges:
        shown = ["value", "..."]
    return f"{row.name}({', '.join(shown)})" if shown else row.name


def _default(argument: AttributeField) -> str:
    if argument.required:
        return ""
    value = argument.default
    if value is None:
        return "=kernel"
    if isinstance(value, tuple) and value[0] == value[1]:
        value = value[0]
    return f"={value_text(value).strip('`')}"


def _argument_lines(rows: list[Operator]) -> list[str]:
    """One line for each meaning of each argument, with the operators that share it."""
    users: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        meanings = meanings_of(row.attributes)
        for argument in arguments_of(row.attributes):
            meaning = meanings[argument.name]
            users.setdefault((argument.name, meaning, _values(argument)), []).append(row.name)
    return [
        f"| `{name}` | {', '.join(f'`{user}`' for user in names)} | {meaning} | {values} |"
        for (name, meaning, values), names in users.items()
    ]


def _values(argument: AttributeField) -> str:
    # The upper end of every int is said once, in the opening.
    bounds = [f"{phrase} {limit}" for phrase, limit in argument.bounds if limit != LARGEST]
    return ", ".join([argument.expected, *bounds])
