"""One spelling of attributes that mean the same, as importing a module writes them: a module does not tell them apart."""

from __future__ import annotations

from typing import Any

from resnext_dsl.graph.ir import Graph, Node
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.arguments import validate
from resnext_dsl.operators.rules import pads_by_size, reach, resolved_padding, usual_padding

WINDOWS = ("conv", "maxpool", "avgpool")


def usual(graph: Graph) -> Graph:
    """The graph with the usual spelling of padding, of strides equal to the kernel and of sizes taken from a value."""
    return graph._replace(nodes=tuple(_usual(graph, node) for node in graph.nodes))


def _usual(graph: Graph, node: Node) -> Node:
    attributes: dict[str, Any] = dict(node.attributes or ())
    inputs = node.inputs
    if node.operator in WINDOWS and attributes["kernel"] != "global":
        _window(node.operator, attributes)
    elif node.operator in WINDOWS:
        attributes = {"kernel": "global"}
    elif node.operator == "resize" and len(inputs) == 2:
        attributes["size"], inputs = graph.nodes[inputs[1]].shape[1:], inputs[:1]
    elif node.operator in ("fixed_conv", "blur_pool"):
        size = attributes["kernel"] if node.operator == "blur_pool" else _size(attributes["kernel"])
        attributes["padding"] = usual_padding(resolved_padding(attributes["padding"], size), size)
    if node.attributes is None:
        return node
    row = OPERATORS[node.operator]
    return node._replace(attributes=validate(row, attributes, graph.nodes[inputs[0]].shape), inputs=inputs)


def _size(rows: Any) -> tuple[int, int]:
    return len(rows), len(rows[0])


def _window(operator: str, attributes: dict[str, Any]) -> None:
    kernel = attributes["kernel"]
    spans = reach(kernel, attributes.get("dilation", (1,) * len(kernel)))
    stride = attributes["stride"] or kernel
    if not pads_by_size(attributes["padding"], spans, stride):
        attributes["padding"] = usual_padding(resolved_padding(attributes["padding"], spans), spans)
    if operator != "conv" and stride == kernel:
        del attributes["stride"]
    if operator == "avgpool" and attributes["padding"] != "same_upper":
        padded = any(resolved_padding(attributes["padding"], kernel))
        attributes["count_include_pad"] = attributes["count_include_pad"] or not padded
