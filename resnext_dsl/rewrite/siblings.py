"""The pass that joins multipliers that read one value into one multiplier, whose result is sliced.

Unlike the paths of `join`, the operators after them stay separate, so that slices remain in the graph. The network
gets fewer and larger convolutions, but the next ones read slices. `benchmarks/siblings.py` measures it: on the CPU it
is not faster. No form has it by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnext_dsl.operators import OPERATORS
from resnext_dsl.rewrite.join import Lift, same_input, weight_layout
from resnext_dsl.rewrite.rewrite_report import Fired, RewriteReport
from resnext_dsl.rewrite.workspace import Workspace


def join_siblings(work: Workspace, report: RewriteReport) -> None:
    """Join the multipliers of equal geometry that read one value, and the channel-wise operators after them."""
    for index in list(work.live()):
        if work.alive[index]:
            for values in _siblings(work, index):
                _join(work, report, values)


def _siblings(work: Workspace, index: int) -> list[list[int]]:
    """The readers of a value, in groups that can become one multiplier."""
    groups: dict[Any, list[int]] = {}
    for reader in dict.fromkeys(work.users[index]):
        node = work.nodes[reader]
        layout = weight_layout(node.operator)
        if layout is not None and getattr(node.attributes, "groups", 1) == 1 and not work.pinned(reader):
            attributes: Any = node.attributes
            groups.setdefault((node.operator, attributes.replaced(**{layout.width: 1})), []).append(reader)
    return [group for group in groups.values() if len(group) > 1]


# conv(x; W1), conv(x; W2)  ->  slice(y, 1), slice(y, 2) with y = conv(x; [W1; W2])
# where kernel, stride, padding, dilation and bias are equal, groups is 1, and none is the result of a part
def _join(work: Workspace, report: RewriteReport, values: list[int]) -> None:
    fired = Fired.of(work, values[0], ("siblings",), len(values))
    whole = same_input(Lift(work, values[0]), values)
    assert whole is not None
    while (readers := _alike_readers(work, values)) is not None:
        whole, values = _below(work, whole, values, readers)
    _slice(work, whole, values)
    report.fire(fired)


# f(slice(y, 1)), f(slice(y, 2))  ->  slice(f(y), 1), slice(f(y), 2)
# where f is channel-wise, its attributes are equal, and nothing else reads the slices
def _alike_readers(work: Workspace, values: Sequence[int]) -> list[int] | None:
    readers = [work.reader(value) for value in values]
    known = [reader for reader in readers if reader is not None and not work.pinned(reader)]
    if len(known) < len(values) or len({work.nodes[reader].operator for reader in known}) > 1:
        return None
    row = OPERATORS[work.nodes[known[0]].operator]
    channels = [work.nodes[value].shape[0] for value in values]
    joined, _ = row.algebra.joined([work.nodes[reader].attributes for reader in known], channels)
    return None if joined is None or row.takes_values else known


def _below(work: Workspace, whole: int, values: list[int], readers: list[int]) -> tuple[int, list[int]]:
    operator = work.nodes[readers[0]].operator
    channels = [work.nodes[value].shape[0] for value in values]
    attributes, _ = OPERATORS[operator].algebra.joined([work.nodes[reader].attributes for reader in readers], channels)
    joined = work.make(operator, attributes, [whole], readers[0], values[0])
    for tensor in work.tensors(joined):
        keys = [(reader, tensor.field) for reader in readers]
        if tensor.shape:
            work.step("join", keys, [(joined, tensor.field)], 0, tuple(channels))
        else:
            work.step("share", keys, [(joined, tensor.field)], len(keys))
    return joined, readers


def _slice(work: Workspace, whole: int, values: Sequence[int]) -> None:
    start = 0
    for value in values:
        stop = start + work.nodes[value].shape[0]
        cut = OPERATORS["slice"].attributes.construct({"start": start, "stop": stop})
        part = work.make("slice", cut, [whole], value, whole)
        work.replace(value, part)
        start = stop
