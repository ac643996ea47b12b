"""Reads facts of the language off the graph of a small network."""

from __future__ import annotations

from error_examples import net

import resnext_dsl as rx
from resnext_dsl.graph.ir import Node


def nodes(body: str, before: str = "", **overrides: object) -> dict[str, Node]:
    """The nodes of a network around a body, the input aside, by name."""
    return {node.name: node for node in rx.loads(net(body, before), **overrides).ir.nodes[1:]}


def channels(expression: str, before: str = "") -> int:
    """The value of an expression, as the width of a convolution."""
    (node,) = nodes(f"conv({expression}, 1x1)", before).values()
    return node.shape[0]
