"""Fills a network with the weights of a checkpoint: reads, matches, checks and warns before anything changes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from resnext_dsl.foundation.diagnostics import Diagnostic, WeightsError, WeightsWarning
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.graph.ir import Graph
from resnext_dsl.weights.checkpoint import Checkpoint, Weights, checkpoint_of
from resnext_dsl.weights.files import name_of, read_checkpoint
from resnext_dsl.weights.fine_tuning import map_without_new_layers, named_auxiliary_heads
from resnext_dsl.weights.finite import not_finite
from resnext_dsl.weights.forms import as_written
from resnext_dsl.weights.input_channels import adapted
from resnext_dsl.weights.keymap import KeyMap, map_keys
from resnext_dsl.weights.known_layouts import other_functions
from resnext_dsl.weights.layer_comparison import LayerDifference, agree_with_reference
from resnext_dsl.weights.layer_facts import LayerFacts
from resnext_dsl.weights.leaves import COUNTER, Shapes, keys, layer_of
from resnext_dsl.weights.shown import shown
from resnext_dsl.weights.transfer import carry, shapes_of


class Filled(NamedTuple):
    """The result of loading a checkpoint.

    Attributes:
        key_map: The map from the network's keys to the checkpoint's.
        warnings: Everything that the user should know.
        ignored: Keys of the checkpoint that are no part of a network.
        compared: The differences of the layers from those of the reference, if there is one.
    """

    key_map: KeyMap
    warnings: tuple[Diagnostic, ...]
    ignored: tuple[str, ...]
    compared: tuple[LayerDifference, ...] = ()


def load_weights(
    model: nn.Module, weights: Weights, graph: Graph | None = None, max_nodes: int = DEFAULTS.max_nodes
) -> Filled:
    """Load a checkpoint of the same network, with keys of any library.

    Everything is checked before the first parameter changes. Values are converted to the model's dtype and device; a
    model on the meta device takes the checkpoint's device. Each warning is a `WeightsWarning` of Python too.

    Args:
        model: A compiled network.
        weights: A file, a state_dict, or a `Checkpoint` with further choices.
        graph: The graph that the model was compiled from, as written. Without it nothing is known about a layer but
            its name and its shapes.
        max_nodes: The most operators that a form of the network may have.

    Raises:
        WeightsError: If the checkpoint does not fit. A strict checkpoint raises warnings with their own codes too.
            E701: the weights are not of this network.
            E702: the weights cannot be read.
            E706: the network computes other values than the reference.
            E707: the map names no layer.
            E708: the reference cannot be run.
        ValueError: If the checkpoint has choices that need the graph, and there is none.
    """
    checkpoint = checkpoint_of(weights)
    if graph is None and (checkpoint.reference is not None or checkpoint.new_layers or checkpoint.adapt_input):
        raise ValueError("`reference`, `new_layers` and `adapt_input` of a checkpoint need the graph of the network")
    filled, state = match_weights(model, checkpoint, graph, max_nodes)
    _hold(filled.warnings, checkpoint)
    _fill(model, filled.key_map, state, borrowed=isinstance(checkpoint.source, Mapping))
    if checkpoint.reference is not None and graph is not None:
        rows, file = filled.key_map.rows(), name_of(checkpoint.source)
        compared = agree_with_reference(model, checkpoint.reference, graph, rows, state, file)
        filled = filled._replace(compared=tuple(compared))
    for diagnostic in filled.warnings:
        warnings.warn(WeightsWarning(diagnostic), stacklevel=2)
    return filled


def match_weights(
    model: nn.Module, checkpoint: Checkpoint, graph: Graph | None, max_nodes: int
) -> tuple[Filled, Mapping[str, Tensor]]:
    """The map of a checkpoint's keys with its warnings, and the tensors that it applies to."""
    file = name_of(checkpoint.source)
    ours = model.state_dict()
    content = read_checkpoint(checkpoint.source, checkpoint.ema, mapped=not _is_meta(ours))
    state: Mapping[str, Tensor] = content.tensors
    facts, notes = None, [content.choice] if content.choice is not None else []
    if graph is not None:
        facts = LayerFacts(graph)
        state = as_written(graph, state, max_nodes)
        if checkpoint.adapt_input:
            state, adaptation = adapted(state, graph, file)
            notes += adaptation
    theirs = shapes_of(state)
    key_map, new_layers = _mapped(shapes_of(ours), theirs, file, facts, checkpoint)
    _check_types(key_map, ours, state, file)
    notes += [*not_finite(state, file), *key_map.warnings, *new_layers]
    if graph is not None and theirs.keys() != ours.keys():
        notes += other_functions(graph, theirs, file)
    return Filled(key_map, tuple(notes), content.ignored), state


def _mapped(
    ours: Shapes, theirs: Shapes, file: str, facts: LayerFacts | None, checkpoint: Checkpoint
) -> tuple[KeyMap, list[Diagnostic]]:
    if checkpoint.new_layers and facts is not None:
        return map_without_new_layers(ours, theirs, file, facts, checkpoint.mapping)
    try:
        return map_keys(ours, theirs, file, facts, checkpoint.mapping), []
    except WeightsError as problem:
        if facts is None:
            raise
        raise named_auxiliary_heads(problem, ours, theirs, file, facts, checkpoint.mapping) from None


def _hold(diagnostics: Sequence[Diagnostic], checkpoint: Checkpoint) -> None:
    """Raises the warnings of a strict checkpoint as errors; the caller has asked for new and adapted layers."""
    wrong = [diagnostic._replace(severity="error") for diagnostic in diagnostics if diagnostic.code != "W915"]
    if checkpoint.strict and wrong:
        raise WeightsError(wrong)


def _is_meta(state: Mapping[str, Tensor]) -> bool:
    return any(tensor.is_meta for tensor in state.values())


def _fill(model: nn.Module, key_map: KeyMap, theirs: Mapping[str, Tensor], borrowed: bool) -> None:
    """Fills a model; a model on the meta device takes the tensors themselves, or copies of borrowed ones."""
    ours = model.state_dict()
    moved = carry(key_map, theirs)
    is_meta = _is_meta(ours)
    if is_meta:
        seen: set[int] = set()
        moved = {key: _separate(moved[key].to(tensor.dtype), borrowed, seen) for key, tensor in ours.items()}
    model.load_state_dict({**ours, **moved}, strict=True, assign=is_meta)


def _separate(tensor: Tensor, borrowed: bool, seen: set[int]) -> Tensor:
    """The tensor, or a copy if a caller owns it or if it shares memory with another one."""
    storage = tensor.untyped_storage()
    if borrowed or tensor.is_meta or storage.nbytes() != tensor.nbytes or storage.data_ptr() in seen:
        return tensor.clone()
    seen.add(storage.data_ptr())
    return tensor.contiguous()


def _check_types(key_map: KeyMap, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], file: str) -> None:
    for pair in key_map.links:
        if pair.theirs is None:
            continue
        here, key = ours[next(keys(pair.ours))], next(keys(pair.theirs))
        if layer_of(key)[1] != COUNTER and here.is_floating_point() != theirs[key].is_floating_point():
            message = f"`{shown(key)}` is {_type(theirs[key])} in the checkpoint; the network needs {_type(here)}"
            raise WeightsError([Diagnostic("E701", message, file=file)])
        if theirs[key].is_meta and not here.is_meta:
            message = f"`{shown(key)}` has no values in the checkpoint: it is on the meta device"
            raise WeightsError([Diagnostic("E701", message, file=file)])


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
