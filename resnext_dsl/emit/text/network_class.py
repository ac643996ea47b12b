"""The class of the network: its constructor and all its methods."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from resnext_dsl.emit.blocks.collect import Collector
from resnext_dsl.emit.text.call_layout import Bracketed, indented, lines
from resnext_dsl.emit.text.class_text import Classes
from resnext_dsl.emit.text.network_classifier import classifiers, reset_classifier
from resnext_dsl.emit.text.network_forward import forward, forward_features, forward_head
from resnext_dsl.emit.text.network_results import result_class
from resnext_dsl.emit.text.network_stages import forward_stages, set_grad_checkpointing, stage_method
from resnext_dsl.emit.text.network_steps import NetworkSteps
from resnext_dsl.emit.text.python_names import camel_case, literal, unused
from resnext_dsl.emit.text.weight_init import init_weights
from resnext_dsl.graph.ir import Graph, Node
from resnext_dsl.operators import OPERATORS
from resnext_dsl.semantics.init_schemes import SchemeRule


def network_class(collector: Collector, classes: Classes, init: Sequence[SchemeRule], taken: set[str]) -> list[str]:
    """The class of the network as lines; before it the class of its results, if there are several.

    Args:
        collector: Has the block of every level inside the network.
        classes: Emitted class -> its constructor's parameters.
        init: Rules for the initial weights.
        taken: Names that the file uses already.
    """
    network = NetworkSteps(collector, classes)
    name = unused(camel_case(network.graph.name), taken)
    result = unused(f"{name}Output", {*taken, name})
    initial = init_weights(collector.levels, init)
    methods = [forward_features(network), forward_head(network), forward(network, result), forward_stages(network)]
    methods += [stage_method(network), set_grad_checkpointing(network)] if network.stages else []
    methods += [initial, reset_classifier(network.graph, bool(initial))]
    text = [*result_class(result, network.graph.outputs), f"class {name}(nn.Module):"]
    text += indented(_constructor(network, bool(initial)))
    for method in methods:
        text += ["", *indented(method)] if method else []
    return text


def _constructor(network: NetworkSteps, initialised: bool) -> list[str]:
    children = network.class_text.children()  # before `settings`, which it completes
    body = ["super().__init__()", f"self.num_features = {_num_features(network)}", *_feature_info(network.graph)]
    body += [f"self.{network.checkpointing} = False"] if network.stages else []
    body += [*network.class_text.settings, *children]
    body += ["self.init_weights()"] if initialised else []
    return ["def __init__(self) -> None:", *indented(body)]


def _num_features(network: NetworkSteps) -> int:
    """Channels that the classifier reads; those of the features if there is no classifier."""
    nodes = network.graph.nodes
    layers = classifiers(network.graph)
    return nodes[layers[0].inputs[0] if layers else network.regions.features_node].shape[0]


def _feature_info(graph: Graph) -> list[str]:
    reductions = _reductions(graph)
    rows = []
    for part in graph.parts:
        if part.kind in ("stem", "stage"):
            shape = graph.nodes[part.node].shape
            row = {"module": part.name, "channels": shape[0], "reduction": reductions[part.node]}
            rows.append("{" + ", ".join(f'"{key}": {literal(value)}' for key, value in row.items()) + "}")
    return lines(Bracketed("self.feature_info = [", tuple(rows), "]"))


def _reductions(graph: Graph) -> list[int | None]:
    """For each node, the product of the strides on the way to it; None for a value that is no feature map.

    A ratio of sizes is another number if windows have no padding. The values that a merge takes have one size, so the
    way leads through the first.
    """
    products: list[Fraction] = []
    for node in graph.nodes:
        before = products[node.inputs[0]] if node.inputs else Fraction(1)
        products.append(before * _stride(graph, node))
    maps = len(graph.nodes[0].shape) == 3
    return [
        max(1, round(product)) if maps and len(node.shape) == 3 else None
        for node, product in zip(graph.nodes, products, strict=True)
    ]


def _stride(graph: Graph, node: Node) -> Fraction:
    """The factor by which an operator divides the height of a feature map, without the effect of edges."""
    if not node.inputs or len(node.shape) != 3 or len(graph.nodes[node.inputs[0]].shape) != 3:
        return Fraction(1)
    attributes: Any = node.attributes
    stride = getattr(attributes, "stride", 1)
    stride = attributes.kernel if stride is None else stride  # of a pooling window
    if "stride" in OPERATORS[node.operator].attributes.fields and not isinstance(stride, str):  # not `global`
        height = stride if isinstance(stride, int) else stride[0]
        return Fraction(1, height) if OPERATORS[node.operator].enlarges else Fraction(height)
    before, after = graph.nodes[node.inputs[0]].shape[1], node.shape[1]
    return Fraction(max(1, round(before / after))) if before >= after else Fraction(1, round(after / before))
