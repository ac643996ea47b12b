"""Values that are features in the source and maps of Cx1x1 in the graph.

A linear layer on the pooled channels may end the network, or lead back to a map as in squeeze-and-excitation. It is a
1x1 convolution until all calls are known. Here layers whose result stays features become layers of features:

    conv(channels, 1x1, bias=true)  ->  flatten; linear(channels)

All other layers stay layers of maps.
"""

from __future__ import annotations

from collections.abc import Sequence

from resnext_dsl.importing.lowering.state import NodeDraft
from resnext_dsl.importing.lowering.stored_values import TensorSource
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.arguments import validate
from resnext_dsl.operators.base import RuleError


def with_features(drafts: Sequence[NodeDraft], outputs: Sequence[int]) -> tuple[list[NodeDraft], list[int]]:
    """The nodes in which features stay features, and the positions of the outputs among them."""
    converted = _converted(drafts, outputs)
    if not any(converted):
        return list(drafts), list(outputs)
    result: list[NodeDraft] = []
    places: dict[int, int] = {}
    flat: dict[int, int] = {}
    for index, draft in enumerate(drafts):
        if draft.operator == "flatten" and converted[draft.inputs[0]]:
            places[index] = places[draft.inputs[0]]
            continue
        inputs = [places[source] for source in draft.inputs]
        if converted[index]:
            for place, source in enumerate(draft.inputs):
                if not converted[source]:
                    inputs[place] = _flattened(result, flat, inputs[place], draft)
        places[index] = len(result)
        chosen = _of_features(draft) if converted[index] else draft
        result.append(chosen._replace(inputs=tuple(inputs)))
        if draft.operator == "flatten":
            flat[inputs[0]] = places[index]
    return result, [places[output] for output in outputs]


def _converted(drafts: Sequence[NodeDraft], outputs: Sequence[int]) -> list[bool]:
    """Whether each node becomes one of features: the source has features, and all readers take features."""
    readers: list[list[int]] = [[] for _ in drafts]
    for index, draft in enumerate(drafts):
        for source in draft.inputs:
            readers[source].append(index)
    converted = [False] * len(drafts)
    for index in range(len(drafts) - 1, -1, -1):
        draft = drafts[index]
        if draft.features is not None and index not in outputs and _takes_features(drafts, draft):
            converted[index] = all(drafts[one].operator == "flatten" or converted[one] for one in readers[index])
    return converted


def _takes_features(drafts: Sequence[NodeDraft], draft: NodeDraft) -> bool:
    """Whether the operator of a node is also one of features."""
    if draft.operator == "conv":
        return True
    try:
        OPERATORS[draft.operator].shape(draft.attributes, tuple([drafts[source].shape[:1] for source in draft.inputs]))
    except RuleError:
        return False
    return True


def _flattened(result: list[NodeDraft], flat: dict[int, int], source: int, reader: NodeDraft) -> int:
    """The position of `flatten` of a node."""
    if source not in flat:
        shape = (result[source].shape[0],)
        attributes = validate(OPERATORS["flatten"], {})
        flat[source] = len(result)
        result.append(NodeDraft("flatten", attributes, (source,), shape, reader.features or "", reader.call))
    return flat[source]


def _of_features(draft: NodeDraft) -> NodeDraft:
    if draft.operator != "conv":
        return draft._replace(shape=draft.shape[:1])
    convolution = dict(draft.attributes or ())
    arguments = {"features": convolution["channels"], "bias": convolution["bias"]}
    attributes = validate(OPERATORS["linear"], arguments)
    tensors = {field: _unreshaped(source) for field, source in draft.tensors.items()}
    return draft._replace(operator="linear", attributes=attributes, shape=draft.shape[:1], tensors=tensors)


def _unreshaped(source: TensorSource) -> TensorSource:
    """The source of a weight as a matrix."""
    if source.steps and source.steps[-1][0] == "reshape":
        _, sizes = source.steps[-1]
        if len(sizes) > 2 and set(sizes[2:]) == {1}:
            return TensorSource(source.key, source.steps[:-1])
    return source
