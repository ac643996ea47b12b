"""The reference of the operators, docs/operators.md, as text made from the table."""

from __future__ import annotations

import re

from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.arguments import LARGEST, AttributeField, arguments_of
from resnext_dsl.operators.base import Attributes, value_text
from resnext_dsl.operators.row import Operator


def _images_only() -> str:
    """The operators and arguments that take images only, as a list in words."""
    limits = [(limit.argument, row.name) for row in OPERATORS.values() for limit in row.images_only]
    subjects = {f"`{argument or name}`".replace("`padding`", "`padding=same_upper`") for argument, name in limits}
    *most, last = sorted(subjects)
    return f"{', '.join(most)} and {last}"


_OPENING = f"""\
# Operators

Every operator of the language. This page is made from the operator table by `resnext_dsl.operators.reference`.

A body names an operator with arguments by position or name: `conv(64, 3x3, stride=2)`, `relu`. An argument without a
default must be given. A size, stride or padding is a shape, `3x1` for height and width, or an int for all sides. Words
such as `same` need no quotes. The absolute value of an int is at most {LARGEST}.

A feature map has channels and sides: the length of a signal, height and width of an image, or time, height and width of
a clip. Operators follow the number of sides. Images only: {_images_only()}.
`avgpool` of a clip takes no kernel larger than the clip.
The tables say height and width for the sides, and rows and columns for their elements.

`flatten` turns a feature map into features. Parameters are learned scalars. FLOPs
are fvcore's count in eval mode, with one fused multiply-add as one FLOP. "Not counted" means that fvcore counts none.
"Read from" names the ATen operators of torch that an imported network has in place of the operator.
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
        "`padding=same` is half the reach of the kernel, `dilation * (kernel - 1) // 2`, on every side. At stride 1 an"
        " odd kernel keeps the size. `padding=valid` is no padding. `padding=same_upper` is `same` of TensorFlow and"
        " Keras: it gives the size / stride, rounded up, for any image that runs, and an odd row or column goes to the"
        " end. `gain` and `gamma` need `standardize=scaled`, and `eps` needs `standardize`. A call that states"
        " `standardize=false` takes none of them from a `default` line. FLOPs: weights times positions of the kernel,"
        " in the output for `conv` and in the input for `conv_transpose`. For standardized weights fvcore adds a batch"
        " norm of the weights: 4 FLOPs for each weight, 5 if they are `scaled`. The outputs count as activations."
    ),
    "linear": "FLOPs: weights. Its output counts as activations.",
    "normalization": (
        "FLOPs per element: `bn` 2, or 1 without `affine`; `layernorm`, `groupnorm` and `instancenorm` 5, or 4 without"
        " `affine`. `instancenorm` has no `affine` by default, as in torch."
    ),
    "activation": "They take feature maps and features. fvcore counts no FLOPs of theirs.",
    "pooling": (
        "Without `stride`, the stride is the kernel's size. `padding` is as for `conv`. At most half of the kernel can"
        " be padded; `same` exceeds that if `maxpool` is dilated. `same_upper` has no such limit, and `ceil` has no"
        " effect with it. With `global` the window is the whole feature map, and the other arguments have no effect."
        " FLOPs: one per element of the input for `avgpool(global)` and `adaptive_avgpool` of images. fvcore counts no"
        " pooling of signals and clips."
    ),
    "merge": (
        "The running value comes first, then the given values. A merge of one value is that value, so that"
        " `split 1 { ... } merge add` is its path."
    ),
    "regularization": "They act in training only.",
    "scaling": "",
    "shape": (
        "`bilinear` interpolates along every side: linear for a signal, trilinear for a clip. FLOPs of `upsample` and"
        " `resize` of images: one per element of the output, four if it is bilinear. fvcore counts none of signals and"
        " clips."
    ),
}


_COMPUTED = {"stride": "kernel", "across": "channels", "size": "size of the value"}
"""Arguments whose default the operator computes, and the default in words."""


def meanings_of(attributes: type[Attributes]) -> dict[str, str]:
    """The meaning of each argument, from the docstring of the class that declares it.

    >>> from resnext_dsl.operators.regularization import DropPath
    >>> meanings_of(DropPath)
    {'p': 'probability that a sample becomes zero'}
    """
    declaring = attributes.__mro__[: attributes.__mro__.index(Attributes)]
    sections = [(each.__doc__ or "").partition("Attributes:\n")[2] for each in declaring]
    entries = re.findall(r"^ +(\w+): (.+)\.$", "\n".join(sections), re.MULTILINE)
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
    lines += ["| operator | effect | FLOPs | read from |", "|---|---|---|---|"]
    lines += [f"| `{signature(row)}` | {row.summary} | {_counted(row)} | {_read_from(row)} |" for row in rows]
    arguments = _argument_lines(rows)
    if arguments:
        lines += ["", "| argument | operators | meaning | values |", "|---|---|---|---|", *arguments]
    return "\n".join([*lines, ""])


def _counted(row: Operator) -> str:
    return "not counted" if row.flops is None else "counted"


def _read_from(row: Operator) -> str:
    """The ATen operators that the import of a network reads as the operator."""
    names = dict.fromkeys(name for reading in row.readings for name in reading.operations)
    return ", ".join(f"`{name}`" for name in names)


def signature(row: Operator) -> str:
    """The operator with its arguments and defaults: `conv_transpose(channels, kernel, stride=1, ...)`."""
    shown = [argument.name + _default(argument) for argument in arguments_of(row.attributes)]
    if row.merges:
        shown = ["value", "..."]
    elif row.takes_values:
        shown[0] = f"{row.value_name}= or {arguments_of(row.attributes)[0].name}="
    return f"{row.name}({', '.join(shown)})" if shown else row.name


def _default(argument: AttributeField) -> str:
    if argument.required:
        return ""
    value = argument.default
    if value is None:
        return f"={_COMPUTED[argument.name]}"
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
    # The opening states the upper bound of every int once.
    bounds = [f"{phrase} {limit}" for phrase, limit in argument.bounds if abs(limit) != LARGEST]
    return ", ".join([argument.expected, *bounds])
