"""The error for a checkpoint of another network, with a hint for the user.

It runs only after `match` has found no order that fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from resnext_dsl.foundation.diagnostics import Diagnostic, Note
from resnext_dsl.weights.leaves import Branch, Leaf, Parameter, Reading, Shape, SpreadParameter, Whole, fits
from resnext_dsl.weights.match import LayerMatch, link
from resnext_dsl.weights.nearest import first_difference
from resnext_dsl.weights.shown import shown

COLOURS = 3
MAX_NAMED = 4
MAX_KINDS = 5_000

LACKING = "the network has layers that the checkpoint lacks"
FINE_TUNING = (
    "for fine-tuning, `train --weights` gives new weights to a classifier and to auxiliary heads, in Python "
    "`new_layers=True` of `Checkpoint`"
)
ANOTHER_ORDER = "the same layers, in another order"
REORDERED = "if it is the same network, `--map THEIRS=OURS` says which layers belong together"


def shape_text(shape: Shape) -> str:
    """A shape as errors print it.

    >>> shape_text((256, 4, 3, 3)), shape_text(())
    ('256x4x3x3', 'a scalar')
    """
    return "x".join(map(str, shape)) or "a scalar"


def explain(ours: Branch, theirs: Branch, ordered: bool, file: str) -> Diagnostic:
    """The error for a checkpoint that does not fit the network.

    Args:
        ours: The network's layers.
        theirs: The checkpoint's.
        ordered: Whether the order of the checkpoint's keys has a meaning.
        file: The name of the checkpoint.
    """
    our_layers, their_layers = list(ours.leaves()), list(theirs.leaves())
    surplus = LayerMatch(ours, theirs, ordered).leaves_over() if our_layers else None
    if surplus:
        hint = "auxiliary heads are part of the network too: `output NAME when training`"
        return _surplus(surplus, "the checkpoint has layers that the network lacks", hint, file)
    surplus = LayerMatch(theirs, ours, ordered=True).leaves_over() if their_layers else None
    if surplus:
        return _surplus(surplus, LACKING, FINE_TUNING, file)
    layer, other = first_difference(ours, theirs, ordered)
    counts = _counts(our_layers, their_layers)
    hint = REORDERED if counts.endswith(ANOTHER_ORDER) else _hint(our_layers, theirs, layer, other, ordered)
    return Diagnostic(
        "E701",
        _difference(layer, other),
        hint=hint,
        notes=(Note(counts),),
        file=file,
    )


def _surplus(over: Sequence[Branch | Leaf], message: str, hint: str, file: str) -> Diagnostic:
    named = []
    for child in over[:MAX_NAMED]:
        layers = list(child.leaves()) if isinstance(child, Branch) else [child]
        more = f" and {len(layers) - 1} more layers" if len(layers) > 1 else ""
        named.append(f"`{shown(child.name)}` ({_describe(layers[0])}{more})")
    rest = f" and {len(over) - MAX_NAMED} more modules" if len(over) > MAX_NAMED else ""
    return Diagnostic("E701", f"{message}: {', '.join(named)}{rest}; all other layers match", hint=hint, file=file)


def _describe(layer: Leaf) -> str:
    """A layer's main parameters: "weight 64x3x7x7, bias 64"."""
    reading = layer.readings[0]
    main = {suffix: reading[suffix] for suffix in ("weight", "bias") if suffix in reading}
    return ", ".join(f"{shown(suffix)} {_size(parameter)}" for suffix, parameter in (main or reading).items())


def _size(parameter: Parameter) -> str:
    if isinstance(parameter, SpreadParameter):
        return f"{len(parameter.parts)} times {_size(parameter.parts[0])}"
    return shape_text(parameter.shape)


def _difference(layer: Leaf | None, other: Leaf | None) -> str:
    """The first difference: one parameter on both sides if a shape differs, else all parameters of both layers."""
    if layer is None or other is None:
        rest = other or layer
        assert rest is not None
        ends, continues = ("the network", "the checkpoint") if layer is None else ("the checkpoint", "the network")
        return f"{ends} ends, but {continues} continues: {_sentence(rest)}"
    for suffix, parameter in layer.readings[0].items():
        theirs = other.readings[0].get(suffix)
        if theirs is not None and not fits(parameter.shape, theirs.shape, alone=False):
            here = f"`{_key(layer, suffix)}` is {_size(parameter)} here"
            return f"{here}; `{_key(other, suffix)}` is {_size(theirs)} in the checkpoint"
    return f"{_sentence(layer)} here; {_sentence(other)} in the checkpoint"


def _sentence(layer: Leaf) -> str:
    if len(layer.readings[0]) == 1:
        ((suffix, parameter),) = layer.readings[0].items()
        return f"`{_key(layer, suffix)}` is {_size(parameter)}"
    return f"`{shown(layer.name)}` has {_describe(layer)}"


def _key(layer: Leaf, suffix: str) -> str:
    return shown(f"{layer.name}.{suffix}" if layer.name else suffix)


def _counts(ours: Sequence[Leaf], theirs: Sequence[Leaf]) -> str:
    """The number of layers on both sides, and of the layers without a counterpart of their kind and shape."""
    totals = f"{len(ours)} layers here, {len(theirs)} in the checkpoint"
    waiting: dict[object, list[Leaf]] = {}
    for leaf in theirs:
        waiting.setdefault(leaf.kind, []).append(leaf)
    unmatched = 0
    unmatched_kinds: set[object] = set()
    for layer in ours:
        kind: object = layer.kind
        if kind not in waiting and kind not in unmatched_kinds and len(waiting) < MAX_KINDS:
            kind = next((other for other, leaves in waiting.items() if link(layer, leaves[0])), kind)
        if kind in waiting:
            waiting[kind].pop()
            if not waiting[kind]:
                del waiting[kind]
        else:
            unmatched += 1
            unmatched_kinds.add(kind)
    if not unmatched and not waiting:
        return f"{totals}: {ANOTHER_ORDER}"
    return f"{totals}; {unmatched} here and {sum(map(len, waiting.values()))} there have no counterpart of their shape"


def _hint(ours: Sequence[Leaf], theirs: Branch, layer: Leaf | None, other: Leaf | None, ordered: bool) -> str:
    if layer is None or other is None or len(ours) != theirs.size:
        return "the numbers of layers differ: is it the same network at the same `depths`?"
    one, two = _weight(layer), _weight(other)
    if one is None or two is None:
        return ""
    is_classifier = _is_linear(one) and _is_linear(two) and one[1] == two[1]
    if is_classifier and LayerMatch(_with_classes(ours, one[0], two[0]), theirs, ordered).pairs() is not None:
        return f"only the classifier differs: `--set classes={two[0]}`, in Python `classes={two[0]}`"
    if len(one) == len(two) >= 3 and one[2:] == two[2:]:
        if two[1] == COLOURS and layer is ours[0] and one[0] == two[0]:
            return f"the images have {one[1]} channels here, {two[1]} there: `--adapt-input` adapts the weights"
        if one[0] == two[0] and math.prod(one[2:]) > 1:
            here = f"{one[1]} {'channel' if one[1] == 1 else 'channels'} a group"
            return f"{here} here, {two[1]} there: do `cardinality` and `width` agree?"
        return "the widths differ: is it the same network at the same `width` or `channels`?"
    return ""


def _weight(layer: Leaf) -> Shape | None:
    parameter = layer.readings[0].get("weight")
    return parameter.shape if parameter is not None and len(parameter.shape) > 1 else None


def _is_linear(weight: Shape) -> bool:
    return all(size == 1 for size in weight[2:])


def _with_classes(ours: Iterable[Leaf], here: int, there: int) -> Branch:
    """Our layers, with `there` outputs in every linear layer that has `here` outputs (auxiliary heads too)."""
    changed = Branch("")
    for layer in ours:
        weight = _weight(layer)
        if weight is not None and _is_linear(weight) and weight[0] == here and len(layer.readings) == 1:
            reading: Reading = {s: Whole(s, (there, *p.shape[1:])) for s, p in layer.readings[0].items()}
            changed.children.append(Leaf(layer.name, (reading,)))
        else:
            changed.children.append(layer)
    return changed
