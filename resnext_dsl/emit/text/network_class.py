"""The class of the network: its constructor and all its methods."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
from resnext_dsl.graph.ir import Graph
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
    methods += [stage_method(network), set_grad_checkpointing(network)]
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
    image = graph.nodes[0].shape
    rows = []
    for part in graph.parts:
        if part.kind in ("stem", "stage"):
            shape = graph.nodes[part.node].shape
            row = {"module": part.name, "channels": shape[0], "reduction": _reduction(image, shape)}
            rows.append("{" + ", ".join(f'"{key}": {literal(value)}' for key, value in row.items()) + "}")
    return lines(Bracketed("self.feature_info = [", tuple(rows), "]"))


def _reduction(image: tuple[int, ...], shape: tuple[int, ...]) -> int | None:
    """The height of the input divided by that of a feature map; None for a value that is no feature map.

    If the height does not divide, as after windows without padding, the nearest power of two.
    """
    if len(shape) != 3 or len(image) != 3:
        return None
    if image[1] % shape[1] == 0:
        return image[1] // shape[1]
    return int(2 ** max(0, round(math.log2(image[1] / shape[1]))))
