"""Finds the modules of a graph that a text can print as blocks.

A unit is a set of nodes that one value enters (others may be passed to it), that gives one or several results, and that
no path leaves and enters again. Modules that are no such set have their nodes in the module around them.
"""

from __future__ import annotations

from resnext_dsl.graph.ir import Graph

CONTAINERS = frozenset({"Sequential", "ModuleList", "ModuleDict", "Module", "Identity"})
"""Classes that group modules and say nothing about what they compute."""


class Unit:
    """A module of the graph.

    Attributes:
        scope: Its name.
        label: The name of its class or template.
        nodes: Its own nodes that belong to no unit inside it.
        units: The units inside it.
        first, last: Its range of nodes.
    """

    __slots__ = ("label", "members", "nodes", "scope", "units")

    def __init__(self, scope: str, label: str) -> None:
        self.scope = scope
        self.label = label
        self.nodes: list[int] = []
        self.units: list[Unit] = []
        self.members: list[int] = []
