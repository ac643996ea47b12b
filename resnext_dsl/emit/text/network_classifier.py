"""The classifier: the last layer with weights of the head, and the method that gives it another number of classes."""

from __future__ import annotations

from resnext_dsl.emit.text.call_layout import Bracketed, call, flat, indented, lines, prefixed
from resnext_dsl.emit.text.python_names import literal
from resnext_dsl.graph.ir import Graph, Node, uses_of_modules
from resnext_dsl.operators import OPERATORS, ModuleCall


def classifiers(graph: Graph) -> list[Node]:
    """The classifier, and the last layer with weights of each output in training.

    There is none if the head has no weights, or if the network ends in a list of values.
    """
    if graph.outputs[0].name != "main":
        return []
    heads = [part.name for part in graph.parts if part.kind == "head"]
    training = {output.name for output in graph.outputs if output.training_only and output.name in graph.scopes}
    auxiliary = [part.name for part in graph.parts if part.kind != "head" and part.name in training]
    shared = {index for nodes in uses_of_modules(graph).values() for index in nodes}
    served = {graph.nodes[index].name for index in shared}
    layers = [layer for part in [*heads, *auxiliary] for layer in _layers(graph, part)[-1:]]
    if any(layer.name in served for layer in layers):
        return []  # another number of classes would change the other uses of the layer
    return layers if layers and any(layers[0].name.startswith(f"{head}.") for head in heads) else []


def _layers(graph: Graph, part: str) -> list[Node]:
    """The nodes with weights in a part."""
    inside = [node for node in graph.nodes if node.name.startswith(f"{part}.") and node.operator != "input"]
    return [node for node in inside if OPERATORS[node.operator].multiplies]


def reset_classifier(graph: Graph, initialised: bool) -> list[str]:
    """The method `reset_classifier`; no lines if the network has no classifier.

    Args:
        graph: The graph.
        initialised: Whether the class has a method `init_weights`.
    """
    layers = classifiers(graph)
    if not layers:
        return []
    body = [
        '"""Give the network `num_classes` classes; 0 leaves the last layer out."""',
        "like = next(self.parameters(), torch.empty(0))",
        'made = {"device": like.device, "dtype": like.dtype}',
    ]
    for node in layers:
        place = _place(node.module_name)
        body += lines(prefixed(f"{place} = ", _layer(graph, node)))
        body += [f"self.init_weights({place})"] if initialised else []
    return ["def reset_classifier(self, num_classes: int) -> None:", *indented(body)]


def _place(name: str) -> str:
    """The attribute that holds a layer; modules under numbers are no attributes."""
    outer, _, last = name.rpartition(".")
    numbered = any(map(str.isdigit, outer.split(".")))
    return f'self.get_submodule("{outer}").{last}' if numbered else f"self.{name}"


def _layer(graph: Graph, node: Node) -> Bracketed:
    """The layer for any number of classes."""
    source = OPERATORS[node.operator].source(node.attributes, tuple(graph.nodes[i].shape for i in node.inputs))
    assert isinstance(source, ModuleCall)
    first, _, *rest = map(literal, source.positional)
    keywords = [f"{name}={literal(value)}" for name, value in source.keywords]
    layer = flat(call(source.target, [first, "num_classes", *rest, *keywords, "**made"]))
    return Bracketed("(", (layer, "if num_classes", "else nn.Identity()"), ")", comma=False, soft=True)
