"""Shared instances of all candidates together: the names of their modules, and whether their uses call them alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from resnext_dsl.columns.lane_cache import identity
from resnext_dsl.columns.lanes import Lanes, Mask, NoClosedFormError
from resnext_dsl.columns.priced_nodes import MergedValue, Priced
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape

ROOT = "#"
"""The first character of the module names of instances; the number of the instance follows."""

SIZED = frozenset({"pad_same"})
"""The operators whose module depends on height and width, beside attributes and channels."""

UseKey = tuple[Any, ...]
"""A property that all uses of an instance share.

It is a node's module, operator, attributes and the shapes of its tensors; or a value that an argument of a module is.
"""


class ColumnUse(NamedTuple):
    """A use of a shared instance: its candidates, and the candidates of each of its properties."""

    active: Mask
    kinds: dict[UseKey, Mask]


class InstanceUses:
    """The uses of shared instances.

    Attributes:
        instances: The number of instances so far that a body outside of all uses declares.
    """

    def __init__(self, lanes: Lanes, priced: Sequence[Priced | MergedValue | None]) -> None:
        """Starts without uses.

        Args:
            lanes: The candidates.
            priced: The nodes, which grow later.
        """
        self._lanes = lanes
        self._priced = priced
        self._kinds: dict[int, UseKey] = {}
        self._uses: dict[object, list[ColumnUse]] = {}
        self.instances = 0

    def new_module(self) -> str:
        """The module name of another instance: copies of calls have no names of their own."""
        self.instances += 1
        return f"{ROOT}{self.instances}"

    def note(self, place: int, module: str, operator: str, attributes: object, shapes: tuple[Shape, ...]) -> None:
        """Keeps what tells whether the module of a node inside a use is that of another node.

        Args:
            place: The node.
            module: The name of its module.
            operator: The name of its operator.
            attributes: The identity of its attributes.
            shapes: The shapes of its inputs.
        """
        sized = shapes if operator in SIZED else tuple((len(shape), shape[0]) for shape in shapes)
        self._kinds[place] = module, operator, attributes, identity(sized)

    def note_copy(self, place: int, original: int, module: str) -> None:
        """Does the same for the copy of a node, whose module has another name."""
        if original in self._kinds:
            self._kinds[place] = module, *self._kinds[original][1:]

    def check(self, instance: object, name: str, start: int, results: tuple[int, ...]) -> None:
        """Checks that a use calls the modules of all earlier uses of the same candidates, and connects them alike.

        Args:
            instance: The instance.
            name: Its name.
            start: The first node of the use; the last one is the last node so far.
            results: The nodes of its value.

        Raises:
            NoClosedFormError: If that cannot be told for all candidates at once.
        """
        lanes = self._lanes
        use = ColumnUse(lanes.active, self._kinds_of(start, results))
        for earlier in self._uses.setdefault(instance, []):
            common = lanes.both(earlier.active, use.active)
            if not common.any():
                continue
            none = np.zeros_like(common, shape=(1,) * common.ndim)
            for kind in {*earlier.kinds, *use.kinds}:
                one, two = (lanes.both(common, each.kinds.get(kind, none)) for each in (earlier, use))
                lanes.fits(one, two)
                if (one != two).any():
                    raise NoClosedFormError(f"the uses of `{name}` may differ between candidates")
        self._uses[instance].append(use)

    def _kinds_of(self, start: int, results: tuple[int, ...]) -> dict[UseKey, Mask]:
        """The candidates of each property of a use: a node with its attributes, a value that it reads, the result."""
        kinds: dict[UseKey, Mask] = {}
        outside: dict[int, int] = {}

        def note(kind: UseKey, mask: Mask) -> None:
            kinds[kind] = self._either(kinds[kind], mask) if kind in kinds else mask

        def read(reader: UseKey, source: int, mask: Mask) -> None:
            node = self._priced[source]
            if source < start:
                note((*reader, outside.setdefault(source, len(outside))), mask)
            elif isinstance(node, MergedValue):
                for part, inner in node.sources:
                    both = self._lanes.both(mask, part)
                    if both.any():
                        read(reader, inner, both)
            elif node is not None:
                note((*reader, node.module), mask)

        for place in range(start, len(self._priced)):
            node = self._priced[place]
            if isinstance(node, Priced) and self._lanes.masks[node.mark].any():
                mask = self._lanes.masks[node.mark]
                note(self._kinds[place], mask)
                for position, source in enumerate(node.inputs):
                    read((node.module, position), source, mask)
        for position, source in enumerate(results):
            read(("", position), source, self._lanes.active)
        return kinds

    def _either(self, left: Mask, right: Mask) -> Mask:
        self._lanes.fits(left, right)
        return left | right


def module_of_copy(module: str, inside: str, home: str, instances: range, shift: int) -> str:
    """The module of a copied node: instances that the call declares are new ones, those from outside stay.

    Args:
        module: The module of the node in the call.
        inside: The module of the call, if it is inside a use of a shared instance; else "".
        home: The module of the copy of the call.
        instances: The numbers of the instances that the call declares.
        shift: The difference between their numbers and those of the copy.
    """
    if inside and (module == inside or module.startswith(f"{inside}.")):
        return home + module[len(inside) :]
    root, dot, rest = module.partition(".")
    number = int(root.removeprefix(ROOT))
    return f"{ROOT}{number + shift}{dot}{rest}" if number in instances else module
