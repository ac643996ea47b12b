"""Finds residuals and splits in the dataflow of one block: branches that leave one value and meet in a merge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from resnext_dsl.arch_text.argument_text import Defaults
from resnext_dsl.arch_text.dataflow import Item
from resnext_dsl.arch_text.network_defaults import has_usual
from resnext_dsl.arch_text.step_tree import (
    Body,
    CallStep,
    OperatorStep,
    ResidualStep,
    SplitStep,
    Step,
    fields_of,
)
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import Shape

LONGEST_SHORTCUT = 4
"""A branch of a sum without an activation is a shortcut if it has at most this number of operators."""

EQUAL = ()
"""The widths of slices that are equal."""

Chain = list[Item]


class BranchFinder:
    """Replaces branches and the merge that they meet in by one item each.

    Attributes:
        shape: The shape of a value.
        defaults: The network's own defaults.
        projections: Whether the padding `same` of a 1x1 convolution of a shortcut may become 0.
        joinable: Whether an item may become part of a branch of a merge.
    """

    def __init__(
        self,
        shape: Callable[[int], Shape],
        joinable: Callable[[Item, Item], bool],
        defaults: Defaults,
        projections: bool,
    ) -> None:
        self.projections = projections
        self.shape = shape
        self.defaults = defaults
        self.joinable = joinable

    def joined(self, items: Sequence[Item], results: Iterable[int]) -> list[Item]:
        """The items with residuals and splits as items.

        Args:
            items: The items of a block, each after those whose results it reads.
            results: The values that the block ends in.
        """
        readers: dict[int, int] = {}
        for value in results:
            readers[value] = readers.get(value, 0) + 1
        for item in items:
            for value in item.inputs:
                readers[value] = readers.get(value, 0) + 1
        giver: dict[int, Item] = {}
        gone: set[int] = set()
        kept: list[Item] = []
        for one in items:
            item = one
            joined = self._merge(one, giver, readers) if len(one.inputs) > 1 and _merges(one) else None
            if joined is not None:
                item, used = joined
                gone.update(map(id, used))
                readers[item.inputs[0]] -= len(one.inputs) - 1
            for value in item.outputs:
                giver[value] = item
            kept.append(item)
        return [item for item in kept if id(item) not in gone] if gone else kept

    def _merge(self, item: Item, giver: dict[int, Item], readers: dict[int, int]) -> tuple[Item, list[Item]] | None:
        chains: list[Chain] = []
        chain: Chain
        start = -2
        for end in item.inputs:
            value, chain = end, []
            while readers[value] == 1 and value in giver:
                before = giver[value]
                if len(before.outputs) > 1 or not self.joinable(before, item):
                    break
                chain.append(before)
                value = before.inputs[0]
            if start not in (-2, value):
                return None
            start = value
            chain.reverse()
            chains.append(chain)
        used = [one for chain in chains for one in chain]
        if not used or _continues(item, chains):
            return None
        step, order = self._step(item, chains, start)
        extras = [value for one in used for value in one.inputs[1:]]
        inner = {value for one in used for value in one.outputs}
        inputs = (start, *dict.fromkeys(value for value in extras if value not in inner))
        return Item(inputs, item.outputs, step, [*order, *item.order]), used

    def _step(self, item: Item, chains: list[Chain], start: int) -> tuple[Step, list[int]]:
        merge: Any = item.step
        here = self.shape(start)[0]
        if merge.operator == "add" and len(chains) == 2:
            residual = self._residual(item, chains, start, here)
            if residual is not None:
                return residual
        sliced = self._slices(chains, start)
        order: list[int] = []
        if sliced is not None:
            order += [node for chain in chains for node in chain[0].order]
            chains = [chain[1:] for chain in chains]
        paths = tuple([_body(chain) for chain in chains])
        order += [node for chain in chains for one in chain for node in one.order]
        count = 0
        if len({*paths}) == 1 and (sliced is None or len({*sliced}) == 1):
            count, paths = len(paths), paths[:1]
        if sliced is not None and len({*sliced}) == 1:
            sliced = EQUAL
        return SplitStep(count, sliced, paths, merge.operator, (), here), order

    def _slices(self, chains: list[Chain], start: int) -> tuple[int, ...] | None:
        """The widths of the slices that the branches begin with, if these are all channels in order."""
        stop = 0
        widths = []
        for chain in chains:
            step: Any = chain[0].step if chain else None
            if not isinstance(step, OperatorStep) or step.operator != "slice" or step.arguments[0] != stop:
                return None
            widths.append(step.arguments[1] - stop)
            stop = step.arguments[1]
        return tuple(widths) if stop == self.shape(start)[0] else None

    def _residual(
        self, item: Item, chains: list[Chain], start: int, here: int
    ) -> tuple[ResidualStep, list[int]] | None:
        first, second = chains
        for body, shortcut in ((first, second), (second, first)):
            kind = self._shortcut(shortcut, body, start, item)
            if kind:
                stated = _body(shortcut) if shortcut else None
                order = [node for one in (*body, *shortcut) for node in one.order]
                return ResidualStep(kind, _body(body), stated, (), here), order
        return None

    def _shortcut(self, chain: Chain, body: Chain, start: int, item: Item) -> str:
        """The kind of shortcut that a branch is; "" if it is none."""
        if not chain:
            return "identity"
        if not body:
            return ""
        steps = [one.step for one in chain]
        before, after = self.shape(start), self.shape(item.outputs[0])
        if self._is_projection(steps, before, after):
            return "projection" if before != after else "forced"
        if _is_padding(steps, before, after):
            return "pad"
        plain = all(isinstance(one.step, OperatorStep) and len(one.inputs) == 1 for one in chain)
        longer = sum(len(one.order) for one in body) > len(chain)
        changes = before != after
        return "body" if plain and longer and changes and len(chain) <= LONGEST_SHORTCUT else ""

    def _is_projection(self, steps: list[Step], before: Shape, after: Shape) -> bool:
        """Whether a branch is the convolution and norm that a residual adds itself."""
        if len(steps) != 2 or len(before) != len(after):
            return False
        conv, norm = steps
        if not (isinstance(conv, OperatorStep) and isinstance(norm, OperatorStep)):
            return False
        if conv.operator != "conv" or norm.operator != "bn":
            return False
        rank = len(before) - 1
        strides = tuple([-(-old // new) for old, new in zip(before[1:], after[1:], strict=True)])
        channels, kernel, stride, padding, dilation, groups, bias = conv.arguments[:7]
        return bool(
            channels == after[0]
            and kernel == (1,) * rank
            and stride == strides
            and (padding == (0,) * rank or (self.projections and padding == "same"))
            and dilation == (1,) * rank
            and (groups, bias) == (1, False)
            and has_usual("conv", conv.arguments, fields_of("conv")[:7], self.defaults)
            and has_usual("bn", norm.arguments, (), self.defaults)
        )


def _continues(item: Item, chains: list[Chain]) -> bool:
    """Whether a merge goes on with the merge of other branches, as in (a(x) + b(x)) + c(x); names read better then."""
    if len(chains) != 2 or not all(chains):
        return False
    merge: Any = item.step
    return any(
        _merge_of(chain[0].step) == merge.operator
        and all(isinstance(one.step, OperatorStep) and one.step.operator == merge.operator for one in chain[1:])
        for chain in chains
    )


def _merge_of(step: Step) -> str:
    """The operator that the branches of a step meet in; "" if it has none."""
    if isinstance(step, SplitStep):
        return step.merge
    return "add" if isinstance(step, ResidualStep) and step.kind != "identity" else ""


def _merges(item: Item) -> bool:
    step = item.step
    return isinstance(step, OperatorStep) and OPERATORS[step.operator].merges


def _body(chain: Chain) -> Body:
    steps = []
    for item in chain:
        step: Any = item.step
        if len(item.inputs) > 1 and isinstance(step, OperatorStep | CallStep) and not step.others:
            step = step._replace(others=item.inputs[1:])
        steps.append(step)
    return tuple(steps)


def _is_padding(steps: list[Step], before: Shape, after: Shape) -> bool:
    """Whether a branch subsamples and adds zero channels, the shortcut `pad`."""
    names = [step.operator for step in steps if isinstance(step, OperatorStep)]
    strides = tuple([-(-old // new) for old, new in zip(before[1:], after[1:], strict=False)])
    expected = ["subsample"] if strides and max(strides) > 1 else []
    if after[0] > before[0]:
        expected.append("pad_channels")
    if not expected or names != expected or len(steps) != len(names):
        return False
    first: Any = steps[0]
    return bool(first.operator != "subsample" or first.arguments == (strides,))
