"""From the levels of a graph to blocks: the modules that each level holds and the steps of its forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from resnext_dsl.emit.blocks.levels import Levels
from resnext_dsl.emit.blocks.module_block import ForwardStep, LeafModule, Make, ModuleBlock, Named, Numbered, Ref, Value
from resnext_dsl.emit.blocks.path_merges import with_merges
from resnext_dsl.graph.ir import Node, uses_of_modules
from resnext_dsl.operators import OPERATORS, ModuleCall
from resnext_dsl.operators.ranks import RANKS

_SLICE = "{0}[:, {start}:{stop}]"

Channels = Mapping[Ref, int]


class Collector:
    """Makes the block of each level.

    Attributes:
        makes: Level -> the module that it becomes. A level needs the entries of the levels inside it.
    """

    def __init__(self, levels: Levels) -> None:
        self.levels = levels
        self.graph = levels.graph
        self.makes: dict[str, Make] = {}
        self._overwritable = overwritable(levels)
        self._steps: dict[tuple[str, str, int, tuple[Ref, ...]], ForwardStep] = {}
        self._leaves: dict[tuple[int, bool], LeafModule] = {}
        self._arguments: dict[str, tuple[tuple[str, Value], ...]] = {}

    def block(self, name: str, merged: bool = True) -> ModuleBlock:
        """The block of a level.

        Args:
            name: Name of the level.
            merged: Whether the calls of all paths and the expression that joins them are one step.
        """
        level, nodes = self.levels.of[name], self.graph.nodes
        names = [self.local(name, item) for item in level.items]
        values = {node: ref for ref, node in self.values(name).items()}
        paths = [self._child(name, item) for item in level.items]
        children = self._children(paths, level.items)
        first_input = next(iter(level.takes), 0)
        block = ModuleBlock(
            len(level.takes),
            nodes[first_input].shape[0],
            nodes[level.gives[0]].shape[0] if level.gives else 0,
            self._bound(name),
            _without_gaps(_nested(children)),
            tuple([self._step(*step, values) for step in zip(names, paths, level.items, strict=True)]),
            tuple([values[node] for node in level.gives]),
        )
        if merged:
            channels = {ref: nodes[node].shape[0] for node, ref in values.items()}
            kept = block.outputs if name else tuple([values[node] for node in self.levels.pinned()])
            return replace(block, steps=with_merges(block, channels, kept))
        return block

    def row(self, block: ModuleBlock) -> Make | None:
        """The block as an `nn.Sequential`; None if it is no plain row of modules."""
        if block.inputs != 1 or not _is_row(block):
            return None
        names = [name for name, _ in block.children]
        if _are_numbers(names):
            return Numbered("nn.Sequential", tuple(make for _, make in block.children))
        return Named(block.children, row=True)

    def local(self, level: str, item: int | str) -> str:
        """The name of a node or level inside a level."""
        name = item if isinstance(item, str) else self.graph.nodes[item].name
        return name[len(level) + 1 :] if level else name

    def _child(self, level: str, item: int | str) -> str:
        """The path of the module of a node or level inside a level."""
        scopes, nodes = self.graph.scopes, self.graph.nodes
        module = scopes[item].module_name if isinstance(item, str) else nodes[item].module_name
        return module[len(scopes[level].module_name) + 1 :] if level else module

    def _children(self, paths: Sequence[str], items: Sequence[int | str]) -> list[tuple[str, Make]]:
        """The modules by path, each once, in the order of first use."""
        children: dict[str, Make] = {}
        for path, item in zip(paths, items, strict=True):
            make = self._make(item)
            if make is not None:
                known = children.setdefault(path, make)
                assert known == make, f"`{path}` would be two modules"
        return list(children.items())

    def _make(self, item: int | str) -> Make | None:
        if isinstance(item, str):
            return self.makes[item]
        source = self.levels.sources[item]
        if not isinstance(source, ModuleCall):
            return None
        key = (id(source), item in self._overwritable)
        if key not in self._leaves:
            keywords = (*source.keywords, ("inplace", True)) if key[1] else source.keywords
            self._leaves[key] = LeafModule(source.target, source.positional, keywords)
        return self._leaves[key]

    def _step(self, name: str, child: str, item: int | str, values: Mapping[int, Ref]) -> ForwardStep:
        if isinstance(item, str):
            inner = self.levels.of[item]
            inputs = tuple([values[node] for node in inner.takes])
            return ForwardStep(name, "call", child, "", (), inputs, max(1, len(inner.gives)), heavy=True)
        node, source = self.graph.nodes[item], self.levels.sources[item]
        assert source is not None
        inputs = tuple([values[origin] for origin in node.inputs])
        key = (name, child, id(source), inputs)
        if key not in self._steps:
            heavy = OPERATORS[node.operator].multiplies
            if isinstance(source, ModuleCall):
                self._steps[key] = ForwardStep(name, "call", child, "", (), inputs, heavy=heavy)
            else:
                self._steps[key] = ForwardStep(name, "compute", "", source.text, source.literals, inputs)
        return self._steps[key]

    def values(self, name: str) -> dict[Ref, int]:
        """Every value in a level -> its node."""
        level, nodes = self.levels.of[name], self.graph.nodes
        values: dict[Ref, int] = {("", place): node for node, place in level.takes.items()}
        if not name:
            values |= {("", index): index for index, node in enumerate(nodes) if node.operator == "input"}
        for item in level.items:
            local = self.local(name, item)
            if isinstance(item, str):
                values |= {(local, place): node for place, node in enumerate(self.levels.of[item].gives)}
            else:
                values[local, 0] = item
        return values

    def _bound(self, name: str) -> tuple[tuple[str, Value], ...]:
        template = self.levels.template(name)
        if not template:
            return ()
        if template not in self._arguments:
            scope = self.graph.scopes[template]
            self._arguments[template] = tuple((key, _collapsed(value)) for key, value in scope.arguments)
        return self._arguments[template]


def overwritable(levels: Levels) -> set[int]:
    """Activations that may overwrite their input: nothing else reads it, and the same scope computes it."""
    nodes, homes = levels.graph.nodes, levels.home
    readers = [0] * len(nodes)
    for node in nodes:
        for source in node.inputs:
            readers[source] += 1
    for kept in [output.node for output in levels.graph.outputs] + [part.node for part in levels.graph.parts]:
        readers[kept] += 1
    chosen = set()
    for index, node in enumerate(nodes):
        row = OPERATORS.get(node.operator)
        if row is not None and row.inplace and row.kind == "activation":
            (source,) = node.inputs
            if readers[source] == 1 and homes[index] == homes[source] and _makes_its_own(nodes[source]):
                chosen.add(index)
    for shared in uses_of_modules(levels.graph).values():
        if not chosen.issuperset(shared):
            chosen.difference_update(shared)  # one module for all of them
    return chosen


def _makes_its_own(node: Node) -> bool:
    """Whether the result is a tensor of its own: a merge of one value is that value."""
    row = OPERATORS.get(node.operator)
    return row is not None and row.overwritable and (len(node.inputs) > 1 or not row.merges)


def _collapsed(value: Value) -> Value:
    """A size as emitted text spells it: one int if all sides are equal."""
    sized = isinstance(value, tuple) and len(value) in RANKS and value.count(value[0]) == len(value)
    return value[0] if sized else value


def _nested(children: list[tuple[str, Make]]) -> tuple[tuple[str, Make], ...]:
    """Children under their paths as a tree: `paths.0`, `paths.1` are the items of `paths`."""
    grouped: dict[str, list[tuple[str, Make]] | Make] = {}
    for path, make in children:
        first, _, rest = path.partition(".")
        if not rest:
            grouped[first] = make
        else:
            inner = grouped.setdefault(first, [])
            assert isinstance(inner, list)
            inner.append((rest, make))
    return tuple(
        (name, _container(_nested(make)) if isinstance(make, list) else make) for name, make in grouped.items()
    )


EMPTY = LeafModule("nn.Identity", (), ())
"""The module in the place of a pass without operators."""


def _without_gaps(children: tuple[tuple[str, Make], ...]) -> tuple[tuple[str, Make], ...]:
    """Numbered children with `EMPTY` in the place of each missing number; other children unchanged.

    A number is missing if its pass has no operators, as written or after a rewrite. Every other pass keeps its number.
    """
    names = [name for name, _ in children]
    if not children or not all(map(str.isdigit, names)) or _are_numbers(names):
        return children
    numbers = list(map(int, names))
    if numbers != sorted(numbers):
        return children
    known = dict(children)
    return tuple((str(number), known.get(str(number), EMPTY)) for number in range(numbers[-1] + 1))


def _container(children: tuple[tuple[str, Make], ...]) -> Make:
    if _are_numbers([name for name, _ in children]):
        return Numbered("nn.ModuleList", tuple(make for _, make in children))
    return Named(children, row=False)


def _are_numbers(names: list[str]) -> bool:
    return bool(names) and names == [str(number) for number in range(len(names))]


def _is_row(block: ModuleBlock) -> bool:
    """Whether every step calls the next child on the value of the step before."""
    value: Ref = ("", 0)
    if len(block.children) != len(block.steps):
        return False  # a module is called twice
    for step in block.steps:
        if step.kind != "call" or "." in step.child or step.inputs != (value,) or step.outputs != 1:
            return False
        value = (step.name, 0)
    return bool(block.steps) and block.outputs in ((value,), ())


def as_list(block: ModuleBlock) -> ModuleBlock:
    """A block of numbered children as a list.

    If each child takes the value of the child before it, the forward is one "loop" step.
    """
    if not _are_numbers([name for name, _ in block.children]):
        return block
    listed = replace(block, children=(("", _container(block.children)),), listed=True)
    value: Ref = ("", 0)
    others = block.steps[0].inputs[1:]
    called = [name for name, make in block.children if make is not EMPTY]
    if len(called) != len(block.steps) or (others and len(called) < len(block.children)):
        return listed  # the module of an empty pass takes one value only
    for name, step in zip(called, block.steps, strict=True):
        plain = step.kind == "call" and step.child == name and step.outputs == 1
        if not plain or step.inputs != (value, *others) or any(name for name, _ in others):
            return listed
        value = (step.name, 0)
    if block.outputs not in ((value,), ()):
        return listed
    loop = ForwardStep("loop", "loop", "", "", (), (("", 0), *others), heavy=True)
    return replace(listed, steps=(loop,), outputs=(("loop", 0),))
