"""Finds the modules of a graph that a text can print as blocks.

A unit is a set of nodes that one or several values enter, that gives one or several results, and that no path leaves
and enters again. The nodes of other modules belong to the module around them.
"""

from __future__ import annotations

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph, uses_of_modules

CONTAINERS = frozenset({"Sequential", "ModuleList", "ModuleDict", "Module", "Identity"})
"""Classes that group modules and say nothing about what they compute."""

FEWEST = 4
"""A block has at least this number of operators, or blocks inside it; a convolution, norm and activation are none."""


class Growth(NamedTuple):
    """The blocks that make one list grow; `growing_lists` finds them.

    Attributes:
        units: The blocks in order.
        start: The first value of the list.
        end: The node that joins the whole list.
    """

    units: tuple[ModuleUnit, ...]
    start: int
    end: int


class ModuleUnit:
    """A module of the graph, or the whole graph.

    Attributes:
        scope: Its name.
        label: The name of its class or template.
        nodes: Its nodes that belong to no unit inside it, in order.
        units: The units inside it.
        members: All its nodes, in order.
        inputs: The values from outside that it reads, in the order in which they are read.
        outputs: Its values that are read outside.
        module: The name of the shared instance that it is a use of; "" if it is none.
        in_instance: Whether it is a shared instance, or inside one.
        growths: The growing lists of its units.
        gathered: If it makes a list of values grow, its node that joins the list, -1 for the first unit of the list.
    """

    __slots__ = (
        "gathered",
        "growths",
        "in_instance",
        "inputs",
        "label",
        "members",
        "module",
        "nodes",
        "outputs",
        "scope",
        "units",
    )

    def __init__(self, scope: str, label: str) -> None:
        self.scope = scope
        self.label = label
        self.nodes: list[int] = []
        self.units: list[ModuleUnit] = []
        self.members: list[int] = []
        self.inputs: tuple[int, ...] = ()
        self.outputs: tuple[int, ...] = ()
        self.module = ""
        self.in_instance = False
        self.growths: list[Growth] = []
        self.gathered: int | None = None

    def takes(self) -> int:
        """The number of values that a call takes; 0 for a list."""
        return len(self.inputs) if self.gathered is None else 0


class _Level:
    """A scope with the scopes and nodes directly inside it."""

    __slots__ = ("children", "name", "nodes")

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[int] = []
        self.children: dict[str, _Level] = {}


class UnitFinder:
    """Finds the units of a graph.

    Attributes:
        graph: The graph.
        kept: The nodes that an output depends on, without the input.
        readers: For each node, the nodes that read it.
    """

    def __init__(self, graph: Graph, kept: set[int], blocks: bool = True) -> None:
        """Prepares the search.

        Args:
            graph: The graph.
            kept: The nodes that an output depends on, without the input.
            blocks: Whether modules are units; without them the whole graph is the only one.
        """
        self.graph = graph
        self._blocks = blocks
        self.kept = kept
        self.readers: list[list[int]] = [[] for _ in graph.nodes]
        for index in sorted(kept):
            for source in graph.nodes[index].inputs:
                self.readers[source].append(index)
        self._results = {output.node for output in graph.outputs}
        self._uses = uses_of_modules(graph)
        self._scope_uses: dict[str, int] = {}
        self._inside = [-1] * len(graph.nodes)
        self._stamp = 0

    def root(self) -> ModuleUnit:
        """The whole graph as a unit."""
        top = _Level("")
        levels: dict[str, _Level] = {"": top}
        for index in sorted(self.kept):
            self._level(self.graph.nodes[index].scope, levels).nodes.append(index)
        unit = ModuleUnit("", self.graph.name)
        self._fill(unit, top)
        unit.inputs = (0,)
        return unit

    def _level(self, name: str, levels: dict[str, _Level]) -> _Level:
        level = levels.get(name)
        if level is None:
            level = levels[name] = _Level(name)
            parent = self._level(name.rpartition(".")[0], levels)
            parent.children[name] = level
        return level

    def _fill(self, unit: ModuleUnit, level: _Level) -> None:
        """Adds the nodes and units of a level to the unit around it."""
        unit.nodes += level.nodes
        unit.members += level.nodes
        for child in level.children.values():
            inner = self._unit(child)
            if inner is None:
                self._fill(unit, child)
            else:
                unit.units.append(inner)
                unit.members += inner.members

    def _unit(self, level: _Level) -> ModuleUnit | None:
        """The unit of a level; None if the level is no unit."""
        scope = self.graph.scopes.get(level.name)
        if not self._blocks or scope is None or scope.kind != "template" or scope.label in CONTAINERS:
            return None
        unit = ModuleUnit(level.name, scope.label)
        self._fill(unit, level)
        unit.members.sort()
        unit.nodes.sort()
        if len(unit.members) < 2 or (not unit.nodes and len(unit.units) == 1) or not self._close(unit):
            return None
        if len(unit.members) < FEWEST and not unit.units and not unit.module and self._is_series(unit):
            return None
        if unit.module:
            _without_instances(unit)
        return unit

    def _close(self, unit: ModuleUnit) -> bool:
        """Sets inputs and outputs; false if the unit is not closed under paths, or shares a module with others."""
        nodes = self.graph.nodes
        self._stamp += 1
        stamp, inside = self._stamp, self._inside
        for index in unit.members:
            inside[index] = stamp
        inputs: dict[int, None] = {}
        outputs: list[int] = []
        for index in unit.members:
            for source in nodes[index].inputs:
                if inside[source] != stamp:
                    inputs[source] = None
            if index in self._results or any(inside[reader] != stamp for reader in self.readers[index]):
                outputs.append(index)
        unit.inputs, unit.outputs = tuple(inputs), tuple(outputs)
        if not inputs or not outputs:
            return False
        low, high = unit.members[0], unit.members[-1]
        if high - low + 1 != len(unit.members):
            left: set[int] = set()
            for index in range(low, high + 1):
                member = inside[index] == stamp
                if any(source in left or (not member and inside[source] == stamp) for source in nodes[index].inputs):
                    if member:
                        return False
                    left.add(index)
        return self._keeps_instances(unit, stamp)

    def _is_series(self, unit: ModuleUnit) -> bool:
        """Whether each operator of a unit reads the one before it and nothing else."""
        nodes = self.graph.nodes
        before = unit.inputs
        for index in unit.members:
            if nodes[index].inputs != before:
                return False
            before = (index,)
        return True

    def _keeps_instances(self, unit: ModuleUnit, stamp: int) -> bool:
        """Whether every shared module that the unit uses is used by it only, or the unit as a whole is shared."""
        if not self._uses:
            return True
        nodes = self.graph.nodes
        modules = {module for index in unit.members if (module := nodes[index].module) in self._uses}
        if not any(self._inside[use] != stamp for module in modules if module for use in self._uses[module]):
            return True
        module = self.graph.scopes[unit.scope].module_name
        inner = all((nodes[index].module or "").startswith(f"{module}.") for index in unit.members)
        if not inner or len(unit.inputs) > 1 or self._users(module) < 2:
            return False
        unit.module = module
        return True

    def _users(self, module: str) -> int:
        """The number of scopes that are uses of one module."""
        if not self._scope_uses:
            for scope in self.graph.scopes.values():
                name = scope.module_name
                self._scope_uses[name] = self._scope_uses.get(name, 0) + 1
        return self._scope_uses.get(module, 0)


def _without_instances(unit: ModuleUnit) -> None:
    """Clears the marks of the units inside a shared instance, which are parts of it."""
    unit.in_instance = True
    for inner in unit.units:
        inner.module = ""
        _without_instances(inner)
