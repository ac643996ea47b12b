"""Why a checkpoint is not that of the network, said so that its user knows what to change.

Owns the words. It is only read after `match` has found no order that fits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from resnext_dsl.diagnostics import Diagnostic, Note
from resnext_dsl.weights.leaves import COUNTER, Branch, Leaf, Reading, Shape, Whole
from resnext_dsl.weights.match import Match, link

MAX_SHOWN = 120


def shown(name: str) -> str:
    """A key as an error may print it: no control characters, no endless line."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[: MAX_SHOWN + 1])
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def shape_text(shape: Shape) -> str:
    """A shape as errors print it.

    >>> shape_text((256, 4, 3, 3)), shape_text(())
    ('256x4x3x3', 'a scalar')
    """
    return "x".join(map(str, shape)) or "a scalar"


def explain(ours: Branch, theirs: Branch, match: Match, file: str) -> Diagnostic:
    """The error for a checkpoint that fits the network in no order.

    Args:
        ours: The network's layers.
        theirs: The checkpoint's.
        match: The search that failed.
        file: What to call the checkpoint.
    """
    our_layers, their_layers = list(ours.leaves()), list(theirs.leaves())
    over = Match(our_layers, theirs, match.ordered).leaves_over()
    if over and our_layers:
        return _surplus(over, "the checkpoint has layers that the network has not", file)
    over = Match(their_layers, ours, ordered=True).leaves_over()
    if over and their_layers:
        return _surplus(over, "the network has layers that the checkpoint has not", file)
    layer = our_layers[match.furthest] if match.furthest < len(our_layers) else None
    other = _most_alike(layer, match.refused)
    return Diagnostic(
        "E701",
        difference(layer, other),
        hint=_hint(our_layers, layer, other, theirs, match.ordered),
        notes=(Note(_counts(our_layers, their_layers)),),
        file=file,
    )


def explain_equal_keys(ours: Branch, theirs: Branch, file: str) -> Diagnostic | None:
    """The error for a checkpoint with our keys and other shapes, or None where every shape fits."""
    others = {(leaf.name, tuple(leaf.readings[0])): leaf for leaf in theirs.leaves()}


def _surplus(over: Sequence[Branch | Leaf], message: str, file: str) -> Diagnostic:
    named = []
    for child in over[:4]:
        layers = list(child.leaves()) if isinstance(child, Branch) else [child]
        more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
        named.append(f"`{shown(child.name)}` ({describe(layers[0])}{more})")
    more = f", and {len(over) - 4} more" if len(over) > 4 else ""
    hint = "if they serve training alone, give both sides the same heads: `output NAME when training` in the spec, or a checkpoint without them"
    return Diagnostic("E701", f"{message}: {', '.join(named)}{more}; all others fit", hint=hint, file=file)


def describe(layer: Leaf) -> str:
    """A layer's parameters: "weight 64x3x7x7, bias 64"."""
    return ", ".join(f"{shown(s)} {shape_text(p.shape)}" for s, p in layer.readings[0].items() if s != COUNTER)


def difference(layer: Leaf | None, other: Leaf | None) -> str:
    """Where a layer of the network and one of the checkpoint part: the first parameter, or all of them."""
    if layer is None:
        assert other is not None
        return f"the network ends where the checkpoint goes on with `{shown(other.name)}` ({describe(other)})"
    if other is None:
        return f"the checkpoint ends where the network goes on with `{shown(layer.name)}` ({describe(layer)})"
    for suffix, parameter in layer.readings[0].items():
        theirs = other.readings[0].get(suffix)
        if theirs is not None and theirs.shape != parameter.shape:
            here = f"`{_key(layer, suffix)}` is {_parameter_text(layer, suffix)} here"
            return f"{here}; `{_key(other, suffix)}` is {_parameter_text(other, suffix)} in the checkpoint"
    here = f"`{shown(layer.name)}` has {describe(layer)} here"
    return f"{here}; `{shown(other.name)}` has {describe(other)} in the checkpoint"
