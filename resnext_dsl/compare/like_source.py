"""Pairs the layers of a checkpoint with those of a network through the graph of the model that the checkpoint is of.

A state_dict holds names and shapes. The graph of its model holds attributes and the order of paths too. So it decides
where weights fit in several ways, and it tells which layers compute other functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from resnext_dsl.display.stage_table import operator_text
from resnext_dsl.foundation.diagnostics import Diagnostic, Note, WeightsError, did_you_mean
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph, identity_of, tensors_of
from resnext_dsl.importing.carried_weights import our_state
from resnext_dsl.importing.imported import Imported
from resnext_dsl.networks.network import Network
from resnext_dsl.networks.source_weights import tensor_names
from resnext_dsl.rewrite import Rewritten
from resnext_dsl.rewrite.carry import carry
from resnext_dsl.semantics.values import show
from resnext_dsl.weights.graph_pairs import Difference, Pairing, UnpairedError, pair_nodes


class LikeSource(NamedTuple):
    """The weights of a checkpoint for a network.

    Attributes:
        state: The state_dict of the network as written.
        keys: Key of the network -> key of the checkpoint.
        warnings: W914 for each pair of layers that compute other functions.
    """

    state: dict[str, Tensor]
    keys: dict[str, str]
    warnings: tuple[Diagnostic, ...]


def weights_like(
    network: Network, source: Network, imported: Imported, checkpoint: Mapping[str, Tensor], file: str
) -> LikeSource:
    """The weights of a checkpoint for a network, paired through the model of the checkpoint.

    Args:
        network: The network.
        source: The network of the imported model.
        imported: The imported model.
        checkpoint: A state_dict of the model.
        file: The name of the checkpoint, for messages.

    Raises:
        WeightsError: E701 if the checkpoint is not of the model, or if the model has another structure than the
            network.
    """
    _check_keys(imported, checkpoint, file)
    lowered = imported.lowered._replace(trace=imported.lowered.trace._replace(value=checkpoint.__getitem__))
    read = our_state(lowered)
    names = tensor_names(imported, source)
    theirs = {key: read[name] for key, name in names.items() if name in read}
    keys = {key: lowered.weights[name].key for key, name in names.items() if name in lowered.weights}
    state: dict[str, Tensor] = network.compile(form="written", seed=0).state_dict()
    pairing, steps = _paired(network, source, imported)
    graphs = (network.ir, source.ir) if steps is None else (steps[0].graph, steps[1].graph)
    if steps is None:
        ours = _tensor_pairs(*graphs, pairing)
        moved = {key: theirs[other] for key, other in ours.items() if other in theirs}
        listed = {key: keys[other] for key, other in ours.items() if other in keys}
    else:
        moved, listed = _through_forms(steps, pairing, theirs, keys)
    state |= {key: value.to(state[key].dtype).reshape(state[key].shape) for key, value in moved.items()}
    return LikeSource(state, listed, _warnings(*graphs, pairing.differences, imported.origin))


def _check_keys(imported: Imported, checkpoint: Mapping[str, Tensor], file: str) -> None:
    tensors = imported.lowered.trace.tensors
    for source in imported.lowered.weights.values():
        if source.key not in checkpoint:
            hint = did_you_mean(source.key, checkpoint)
            message = f"the checkpoint has no `{source.key}`, which {imported.origin} has"
            raise WeightsError([Diagnostic("E701", message, hint=hint, file=file)])
        expected, found = tensors[source.key].shape, tuple(checkpoint[source.key].shape)
        if expected != found:
            message = f"`{source.key}` has the shape {found} in the checkpoint, and {expected} in {imported.origin}"
            raise WeightsError([Diagnostic("E701", message, file=file)])


# --- pairs ---


def _paired(
    network: Network, source: Network, imported: Imported
) -> tuple[Pairing, tuple[Rewritten, Rewritten] | None]:
    """The pairs of nodes of both graphs as written; if they have other forms, of both in the fastest form."""
    try:
        return pair_nodes(network.ir, source.ir), None
    except UnpairedError as problem:
        steps = network.rewrite(), source.rewrite()
        try:
            return pair_nodes(steps[0].graph, steps[1].graph), steps
        except UnpairedError:
            raise _other_structure(network, source, imported, problem) from None


def _tensor_pairs(ours: Graph, theirs: Graph, pairing: Pairing) -> dict[str, str]:
    """Key of a tensor of the first graph -> key in the second."""
    pairs: dict[str, str] = {}
    for index, other in pairing.pairs.items():
        node, paired = ours.nodes[index], theirs.nodes[other]
        fields = {tensor.field for tensor in tensors_of(theirs, paired)}
        for tensor in tensors_of(ours, node):
            if tensor.field in fields:
                pairs[f"{node.module_name}.{tensor.field}"] = f"{paired.module_name}.{tensor.field}"
    return pairs


def _through_forms(
    steps: tuple[Rewritten, Rewritten], pairing: Pairing, theirs: Mapping[str, Tensor], keys: Mapping[str, str]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and keys of the network as written, carried through the fastest forms of both networks."""
    ours, source = steps
    fastest = carry(source.weights, theirs)
    pairs = _tensor_pairs(ours.graph, source.graph, pairing)
    moved = carry(ours.weights.inverse(), {key: fastest[other] for key, other in pairs.items() if other in fastest})
    there = _origins(source, keys)
    here = {tensor: [there[pairs[key]]] for key, tensor in ours.weights.after.items() if pairs.get(key) in there}
    for step in reversed(ours.weights.steps):
        taken = [key for target in step.targets for key in here.get(target, ())]
        here.update(dict.fromkeys(step.sources, taken))
    listed = {
        key: ", ".join(dict.fromkeys(here[tensor])) for key, tensor in ours.weights.before.items() if here.get(tensor)
    }
    return moved, listed


def _origins(source: Rewritten, keys: Mapping[str, str]) -> dict[str, str]:
    """Key of the rewritten source -> the keys of the checkpoint that give its values, as text."""
    known = {tensor: [keys[key]] for key, tensor in source.weights.before.items() if key in keys}
    for step in source.weights.steps:
        taken = [key for one in step.sources for key in known.get(one, ())]
        known.update(dict.fromkeys(step.targets, taken))
    return {
        key: ", ".join(dict.fromkeys(known[tensor]))
        for key, tensor in source.weights.after.items()
        if known.get(tensor)
    }


# --- messages ---


def _other_structure(network: Network, source: Network, imported: Imported, problem: UnpairedError) -> WeightsError:
    """The error that names the first layer of each graph that the other lacks."""
    notes, span = [], None
    message = f"{imported.origin} has another structure than {network.name}"
    if problem.a is not None:
        node = network.ir.nodes[problem.a]
        span = node.span
        message += f": it has no layer like `{node.name}` ({operator_text(node)}) at its place"
    if problem.b is not None:
        node = source.ir.nodes[problem.b]
        notes.append(Note(f"its first layer without a pair is `{node.name}` ({operator_text(node)})", node.span))
    hint = f"`resnext-dsl diff SPEC {imported.origin.partition(' ')[0]}` lists all differences"
    return WeightsError([Diagnostic("E701", message, span, hint=hint, notes=tuple(notes))])


def _warnings(ours: Graph, theirs: Graph, differences: Sequence[Difference], origin: str) -> tuple[Diagnostic, ...]:
    """W914 for each difference; layers that differ alike share one, which names the first of them."""
    groups: dict[str, list[Difference]] = {}
    for difference in differences:
        groups.setdefault(_difference_text(ours, theirs, difference), []).append(difference)
    warnings = []
    for text, group in groups.items():
        node, other = ours.nodes[group[0].a], theirs.nodes[group[0].b]
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        note = Note(f"in {origin} it is `{other.name}`", other.span)
        message = f"`{node.name}`{more}: {text}"
        warnings.append(Diagnostic("W914", message, node.span, notes=(note,), severity="warning"))
    return tuple(warnings)


def _difference_text(ours: Graph, theirs: Graph, difference: Difference) -> str:
    node, other = ours.nodes[difference.a], theirs.nodes[difference.b]
    if "operator" in difference.names:
        return f"`{node.operator}` here, `{other.operator}` there"
    if difference.names == ("inputs",):
        return f"`{node.operator}` joins the paths in another order there"
    before, after = (identity_of(one.attributes) if one.attributes is not None else {} for one in (node, other))
    return "; ".join(
        f"`{name}` is {show(before[name])} here and {show(after[name])} there"
        for name in difference.names
        if name != "inputs"
    )
