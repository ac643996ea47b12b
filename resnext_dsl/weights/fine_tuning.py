"""Maps checkpoints that lack a classifier or auxiliary heads, or have another number of classes, for fine-tuning.

The layers without weights keep the initial weights of the network. W915 names them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from resnext_dsl.foundation.diagnostics import Diagnostic, WeightsError
from resnext_dsl.graph.ir import Graph, reachable, tensors_of
from resnext_dsl.weights.keymap import KeyMap, map_keys
from resnext_dsl.weights.layer_facts import LayerFacts
from resnext_dsl.weights.leaves import Leaf, Shape, Shapes, tree
from resnext_dsl.weights.mismatch import FINE_TUNING, LACKING
from resnext_dsl.weights.shown import shown

MAX_TRIES = 8
"""The most groups of layers of a checkpoint that are tried as its classifiers."""


class _Try(NamedTuple):
    """A part of the network and a part of the checkpoint that may fit, with the reason for each rest."""

    ours: Shapes
    theirs: Shapes
    warnings: list[Diagnostic]


def map_without_new_layers(
    ours: Shapes, theirs: Shapes, file: str, facts: LayerFacts, mapping: Mapping[str, str]
) -> tuple[KeyMap, list[Diagnostic]]:
    """The map of a checkpoint; if it does not fit, the map without the network's heads, with W915 for each of them.

    Args:
        ours: Shapes of the network.
        theirs: Shapes of the checkpoint.
        file: The name of the checkpoint.
        facts: The network's graph.
        mapping: As for `map_keys`.

    Raises:
        WeightsError: E701 if more than the heads differs.
    """
    try:
        return map_keys(ours, theirs, file, facts, mapping), []
    except WeightsError as problem:
        if problem.diagnostics[0].code != "E701":
            raise
        for part in _tries(ours, theirs, file, facts.graph):
            try:
                return map_keys(part.ours, part.theirs, file, facts, mapping), part.warnings
            except WeightsError:
                continue
        raise problem from None


def named_auxiliary_heads(
    problem: WeightsError, ours: Shapes, theirs: Shapes, file: str, facts: LayerFacts, mapping: Mapping[str, str]
) -> WeightsError:
    """An error that names the auxiliary heads, if the checkpoint fits without them; else the problem as it is.

    The keys of a `.safetensors` file are sorted. The first layer in this order that does not fit says nothing.
    """
    auxiliary = _auxiliary_layers(facts.graph)
    if not auxiliary or problem.diagnostics[0].code != "E701":
        return problem
    try:
        map_keys(_without(ours, auxiliary), theirs, file, facts, mapping)
    except WeightsError:
        return problem
    heads = _listed(_scopes(auxiliary, facts.graph))
    message = f"{LACKING}: {heads}, auxiliary heads; all other layers match"
    return WeightsError([Diagnostic("E701", message, hint=FINE_TUNING, file=file)])


def _tries(ours: Shapes, theirs: Shapes, file: str, graph: Graph) -> Iterator[_Try]:
    """The parts that may fit, from the largest to the smallest."""
    auxiliary = _auxiliary_layers(graph)
    kept = _without(ours, auxiliary)
    no_heads = [_new(f"{_listed(_scopes(auxiliary, graph))} keep", "the checkpoint has no auxiliary heads", file)]
    if auxiliary:
        yield _Try(kept, theirs, no_heads)
    for part, warnings, left_out in ((ours, [], frozenset[str]()), (kept, no_heads, auxiliary)):
        if part is kept and not auxiliary:
            continue
        classifiers = [name for name in _classifiers(graph) if name not in left_out]
        yield from _without_classifiers(part, theirs, classifiers, warnings, file)


def _without_classifiers(
    ours: Shapes, theirs: Shapes, classifiers: list[str], warnings: list[Diagnostic], file: str
) -> Iterator[_Try]:
    if not classifiers:
        return
    kept = _without(ours, frozenset(classifiers))
    named = f"{_listed(classifiers)} {'keep' if len(classifiers) > 1 else 'keeps'}"
    yield _Try(kept, theirs, [*warnings, _new(named, "the checkpoint has no classifier", file)])
    weights = [ours[f"{name}.weight"] for name in classifiers if f"{name}.weight" in ours]
    for classes, layers in _candidates(theirs, weights):
        reason = f"the checkpoint has {classes} classes and the network {weights[0][0]}"
        yield _Try(kept, _without(theirs, layers), [*warnings, _new(named, reason, file)])


def _candidates(theirs: Shapes, weights: list[Shape]) -> Iterator[tuple[int, frozenset[str]]]:
    """Groups of layers of the checkpoint that may be its classifiers: number of classes, and names of the layers.

    The classifiers have the inputs of the network's classifiers, and one number of classes.
    """
    groups: dict[int, list[str]] = {}
    for leaf in reversed(list(tree(theirs).leaves())):
        shape = _matrix(leaf)
        if shape is not None and shape[1] in {weight[1] for weight in weights}:
            groups.setdefault(shape[0], []).append(leaf.name)
    tries = 0
    for classes, layers in groups.items():
        if len(layers) == len(weights) and tries < MAX_TRIES:
            tries += 1
            yield classes, frozenset(layers)


def _matrix(leaf: Leaf) -> Shape | None:
    parameter = leaf.readings[0].get("weight")
    if parameter is None or len(parameter.shape) < 2 or any(size != 1 for size in parameter.shape[2:]):
        return None
    return parameter.shape


def _classifiers(graph: Graph) -> list[str]:
    """The last layer with weights before each output."""
    names = []
    for output in graph.outputs:
        position = output.node
        while not tensors_of(graph, graph.nodes[position]) and len(graph.nodes[position].inputs) == 1:
            position = graph.nodes[position].inputs[0]
        if graph.nodes[position].operator in ("linear", "conv"):
            names.append(graph.nodes[position].module_name)
    return list(dict.fromkeys(names))


def _auxiliary_layers(graph: Graph) -> frozenset[str]:
    """The layers that serve outputs of training only."""
    main = reachable(graph, [output.node for output in graph.outputs if not output.training_only])
    if not any(output.training_only for output in graph.outputs):
        return frozenset()
    ends = reachable(graph, [output.node for output in graph.outputs])
    kept = {graph.nodes[position].module_name for position in main}
    return frozenset(graph.nodes[position].module_name for position in ends - main) - kept


def _scopes(layers: frozenset[str], graph: Graph) -> list[str]:
    """The outermost scopes of layers, in the order of the network."""
    return list(dict.fromkeys(node.module_name.partition(".")[0] for node in graph.nodes if node.module_name in layers))


def _without(shapes: Shapes, layers: frozenset[str]) -> Shapes:
    return {key: shape for key, shape in shapes.items() if key not in layers and key.rpartition(".")[0] not in layers}


def _new(named: str, reason: str, file: str) -> Diagnostic:
    return Diagnostic("W915", f"{named} new initial weights: {reason}", file=file, severity="warning")


def _listed(names: list[str]) -> str:
    shown_names = [f"`{shown(name)}`" for name in names]
    return " and ".join([", ".join(shown_names[:-1]), shown_names[-1]]) if len(names) > 1 else "".join(shown_names)
