"""The keys of a state_dict as a tree of layers, in which several layers may be read as one.

The tree has layers (`Leaf`) with parameters (`Whole` or `SpreadParameter`). It knows keys and shapes and holds no
tensors. `match` decides which layers correspond.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

COUNTER = "num_batches_tracked"
LAYER_SUFFIXES = frozenset({"weight", "bias", "gain", "running_mean", "running_var", COUNTER})
"""Suffixes of the parameters of one layer; any other parameter (`gamma`, `layer_scale`) is a separate layer."""

MAX_LEVELS = 64
_PATHS = re.compile(r"paths\d*")


@dataclass(frozen=True, slots=True)
class Whole:
    """A parameter that is one tensor of the state_dict."""

    key: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class SpreadParameter:
    """A parameter that is spread over the paths of a split.

    Attributes:
        parts: The parameter of each path, in order.
        how: "rows": slices of dimension 0; "columns": slices of dimension 1; "sum": terms of a sum; "same": copies.
        shape: Shape of the whole parameter.
    """

    parts: tuple[Parameter, ...]
    how: Literal["rows", "columns", "sum", "same"]
    shape: Shape


Parameter = Whole | SpreadParameter
Reading = dict[str, Parameter]


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """A layer.

    Attributes:
        name: The module's name, with `*` for the number of the path if the layer is spread over paths.
        readings: The parameters by suffix; a layer that is spread over paths can have several readings.
        direct: Whether a block holds the parameters directly, beside the layers inside it.
    """

    name: str
    readings: tuple[Reading, ...]
    direct: bool = False

    @property
    def size(self) -> int:
        """The number of layers, which is 1."""
        return 1

    @property
    def kind(self) -> tuple[tuple[tuple[str, Shape], ...], ...]:
        """Suffixes and shapes, without names: layers of equal kind are interchangeable."""
        return tuple(tuple((s, p.shape) for s, p in sorted(reading.items())) for reading in self.readings)


@dataclass(slots=True, eq=False)
class Branch:
    """A module that holds layers: its name and its children, in order."""

    name: str
    children: list[Branch | Leaf] = field(default_factory=list)

    @property
    def size(self) -> int:
        """The number of layers that it holds."""
        return sum(child.size for child in self.children)

    def leaves(self) -> Iterator[Leaf]:
        """Every layer, in order."""
        for child in self.children:
            if isinstance(child, Branch):
                yield from child.leaves()
            else:
                yield child


def layer_of(key: str) -> tuple[str, str]:
    """A key's module and suffix.

    >>> layer_of("layer1.0.bn1.running_var")
    ('layer1.0.bn1', 'running_var')
    """
    module, _, suffix = key.rpartition(".")
    return module, suffix


def tree(shapes: Shapes) -> Branch:
    """The layers of a state_dict in the order of its keys, nested by the dots in the keys.

    Raises:
        ValueError: A key has more than `MAX_LEVELS` levels.
    """
    root = Branch("")
    branches = {"": root}
    readings: dict[tuple[str, str], Reading] = {}
    for key, shape in shapes.items():
        if key.count(".") > MAX_LEVELS:
            raise ValueError(f"a key has more than {MAX_LEVELS} levels")
        module, suffix = layer_of(key)
        layer = (module, "" if suffix in LAYER_SUFFIXES else suffix)
        if layer not in readings:
            readings[layer] = {}
            _branch(module, branches).children.append(Leaf(module, (readings[layer],), direct=True))
        readings[layer][suffix] = Whole(key, shape)
    _lift_plain_layers(root)
    return root


def _branch(name: str, branches: dict[str, Branch]) -> Branch:
    missing = []
    while name not in branches:
        missing.append(name)
        name = name.rpartition(".")[0]
    branch = branches[name]
    for name in reversed(missing):
        branches[name] = Branch(name)
        branch.children.append(branches[name])
        branch = branches[name]
    return branch


def _lift_plain_layers(branch: Branch) -> None:
    """{conv: [weight]} -> conv, for a module that holds only one layer."""
    for position, child in enumerate(branch.children):
        if not isinstance(child, Branch):
            continue
        _lift_plain_layers(child)
        if len(child.children) == 1 and isinstance(child.children[0], Leaf) and child.children[0].direct:
            branch.children[position] = Leaf(child.name, child.children[0].readings)


def sort_naturally(branch: Branch) -> None:
    """Sort all modules and layers by name, numbers by value: `conv2` before `conv10`."""
    branch.children.sort(key=lambda child: _natural(child.name))
    for child in branch.children:
        if isinstance(child, Branch):
            sort_naturally(child)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]{1,18})", name) if part]


def join_paths(branch: Branch, wanted: Callable[[list[Leaf]], bool]) -> None:
    """Read the equal paths of a split as single layers, if `wanted` is true for the layers of one path.

    paths.0.conv, paths.0.bn, paths.1.conv, paths.1.bn  ->  paths.*.conv, paths.*.bn
    """
    for child in branch.children:
        if not isinstance(child, Branch):
            continue
        join_paths(child, wanted)
        if _PATHS.fullmatch(child.name.rpartition(".")[2]):
            paths = _equal_paths(child)
            if len(paths) > 1 and wanted(paths[0]):
                child.children = [_join(layers, child.name) for layers in zip(*paths, strict=True)]


def _equal_paths(branch: Branch) -> list[list[Leaf]]:
    """The layers path by path, or [] if the paths differ in more than their numbers."""
    paths, first = [], None
    for number, path in enumerate(branch.children):
        if path.name != f"{branch.name}.{number}":
            return []
        layers = list(path.leaves()) if isinstance(path, Branch) else [path]
        shape = [(layer.name.removeprefix(path.name), layer.direct, layer.kind) for layer in layers]
        first = first or shape
        if shape != first:
            return []
        paths.append(layers)
    return paths


def _join(layers: tuple[Leaf, ...], paths: str) -> Leaf:
    inner = layers[0].name.removeprefix(f"{paths}.0")
    joined = []
    for readings in zip(*(layer.readings for layer in layers), strict=True):
        joined += _joined_readings(readings)
    return Leaf(f"{paths}.*{inner}", tuple(joined), layers[0].direct)


def _joined_readings(readings: tuple[Reading, ...]) -> list[Reading]:
    by_suffix = {suffix: tuple(reading[suffix] for reading in readings) for suffix in readings[0]}
    side_by_side: Reading = {s: _rows(parts) for s, parts in by_suffix.items()}
    if "weight" not in by_suffix or "gain" in by_suffix or len(by_suffix["weight"][0].shape) < 2:
        return [side_by_side]
    # sum_k W_k x_k + b_k  =  [W_0 ... W_C-1] concat(x_0 ... x_C-1) + sum_k b_k
    summed: Reading = {s: _columns(parts) if s == "weight" else _sum(parts) for s, parts in by_suffix.items()}
    return [side_by_side, summed]


def _rows(parts: tuple[Parameter, ...]) -> SpreadParameter:
    shape = parts[0].shape
    if not shape:
        return SpreadParameter(parts, "same", shape)
    return SpreadParameter(parts, "rows", (shape[0] * len(parts), *shape[1:]))


def _columns(parts: tuple[Parameter, ...]) -> SpreadParameter:
    shape = parts[0].shape
    return SpreadParameter(parts, "columns", (shape[0], shape[1] * len(parts), *shape[2:]))


def _sum(parts: tuple[Parameter, ...]) -> SpreadParameter:
    return SpreadParameter(parts, "sum", parts[0].shape)


def zip_lists(branch: Branch) -> None:
    """Read lists of layers of the same length in turn, if each list holds one kind of layer.

    convs.0, convs.1, bns.0, bns.1  ->  convs.0, bns.0, convs.1, bns.1
    """
    by_length: dict[int, list[Branch]] = {}
    for child in branch.children:
        if isinstance(child, Branch):
            zip_lists(child)
            if _is_list(child):
                by_length.setdefault(len(child.children), []).append(child)
    for lists in by_length.values():
        if len(lists) > 1:
            turns = (Branch(lists[0].name, list(turn)) for turn in zip(*(each.children for each in lists), strict=True))
            place = branch.children.index(lists[0])
            branch.children[place : place + 1] = [Branch(lists[0].name, list(turns))]
            branch.children = [child for child in branch.children if child not in lists]


def _is_list(branch: Branch) -> bool:
    layers = [child for child in branch.children if isinstance(child, Leaf)]
    numbered = [layer.name for layer in layers] == [f"{branch.name}.{n}" for n in range(len(branch.children))]
    return numbered and len(layers) > 1 and len({tuple(layer.readings[0]) for layer in layers}) == 1


def keys(parameter: Parameter) -> Iterator[str]:
    """The keys of the tensors that make up a parameter."""
    if isinstance(parameter, Whole):
        yield parameter.key
    else:
        for part in parameter.parts:
            yield from keys(part)


def fits(ours: Shape, theirs: Shape, alone: bool) -> bool:
    """Whether a tensor of one shape can be reshaped to the other without a change to the function of its layer.

    Equal shapes fit. A linear layer fits a convolution that covers its whole input (1x1, or kernel = input), since
    both list the input as channel, then side by side. A vector fits a vector with axes of length 1 (scale per channel).

    Args:
        ours: Shape of one tensor.
        theirs: Shape of the other tensor.
        alone: Whether the tensor is the only parameter of its layer.

    >>> fits((96, 384), (96, 384, 1, 1), alone=False), fits((96,), (96, 1, 1), alone=True)
    (True, True)
    """
    if ours == theirs:
        return True
    if 2 in (len(ours), len(theirs)) and max(len(ours), len(theirs)) in (3, 4, 5):
        return ours[0] == theirs[0] and math.prod(ours) == math.prod(theirs)
    squeezed = [d for d in ours if d != 1]
    return (alone or not squeezed) and len(squeezed) <= 1 and squeezed == [d for d in theirs if d != 1]
