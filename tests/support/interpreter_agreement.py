"""Holds a network of the package against the reference interpreter's reading of the same text."""

from __future__ import annotations

from typing import Any

from reference_interpreter import MEASURES, Interpretation

import resnext_dsl as rx


def agree(network: rx.Network, wanted: Interpretation) -> None:
    """Asserts the same operators in order, with attributes, inputs, shapes and counts, and the same budget lines."""
    graph, cost = network.ir, network.cost()
    found = [
        (n.operator, settled(n.operator, dict(n.attributes or ())), n.inputs, n.shape, *c.figures)
        for n, c in cost.nodes
    ]
    expected = [(o.operator, settled(o.operator, o.attributes), *o[2:8]) for o in wanted.operations]
    assert found == expected
    assert cost.figures == wanted.totals
    assert [tuple(output) for output in graph.outputs] == wanted.outputs
    lines = [(u.limit.budget, u.limit.subject, u.used, u.met) for u in network.usage() if u.limit.measure in MEASURES]
    assert lines == [tuple(verdict) for verdict in wanted.verdicts]


def settled(operator: str, attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes with what they stand for: a stride of None is the kernel; a global pooling has no other argument."""
    if attributes.get("kernel") == "global":
        return {"kernel": "global"}
    if attributes.get("stride", ()) is None:
        return attributes | {"stride": attributes["kernel"]}
    return attributes
