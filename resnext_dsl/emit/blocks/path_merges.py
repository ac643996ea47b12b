"""The calls of all paths of a split and the expression that joins them, as one step of kind "merge".

The step is the same for any number of paths:

    paths.0(x), paths.1(x), ..., torch.cat([...], 1)    ->    torch.cat([{paths}], 1)
    paths.0(x), paths.1(x), ..., {0} + {1} + ...        ->    {0} + {1}, path by path
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from resnext_dsl.emit.blocks.module_block import ForwardStep, ModuleBlock, Ref

_SLICE = "{0}[:, {start}:{stop}]"

Channels = Mapping[Ref, int]


def with_merges(block: ModuleBlock, channels: Channels, kept: tuple[Ref, ...]) -> tuple[ForwardStep, ...]:
    """The steps, with the calls of all paths and the expression that joins them as one step.

    Args:
        block: The block.
        channels: The channels of each value.
        kept: The values that are read after the steps.
    """
    steps = list(block.steps)
    reads = Counter(name for step in steps for name, _ in step.inputs)
    reads.update(name for name, _ in kept)
    at = 0
    while at < len(steps):
        replacement = _merge_at(reads, steps, at, channels) if steps[at].kind == "compute" else None
        if replacement is not None:
            start, merged = replacement
            steps[start : at + 1] = merged
            at = start + len(merged)
        else:
            at += 1
    return tuple(steps)


def _merge_at(
    reads: Counter[str], steps: list[ForwardStep], at: int, channels: Channels
) -> tuple[int, list[ForwardStep]] | None:
    """The start of the steps that the expression at `at` joins, and the steps that replace them."""
    join = steps[at]
    count = len(join.inputs)
    container = join.inputs[0][0].rpartition(".")[0]
    if (
        count < 2
        or not container
        or join.literals
        or join.inputs != tuple((f"{container}.{k}", 0) for k in range(count))
    ):
        return None
    form = _merge_form(join.text, count)
    calls = {step.name: step for step in steps[max(0, at - 2 * count) : at]}
    paths = [calls.get(name) for name, _ in join.inputs]
    if form is None or any(path is None or path.kind != "call" or len(path.inputs) != 1 for path in paths):
        return None
    if any(path is not None and path.child != path.name for path in paths):
        return None  # a path that calls a shared module is no item of the container
    sources = [path.inputs[0] for path in paths if path is not None]
    slices = [calls.get(name) for name, _ in sources]
    chunks = len(set(sources)) > 1
    if chunks and not _are_chunks(slices, channels):
        return None
    members = {name for name, _ in join.inputs}
    if any(
        step.child.startswith(f"{container}.") and step.name not in members for step in steps if step.kind == "call"
    ):
        return None  # the container has other items, which the expression does not join
    joined = members | ({name for name, _ in sources} if chunks else set())
    start = at - len(joined)
    if start < 0 or {step.name for step in steps[start:at]} != joined or any(reads[name] > 1 for name in joined):
        return None
    source = slices[0].inputs[0] if chunks and slices[0] is not None else sources[0]
    text, outer = form
    merge = ForwardStep(
        join.name if outer == "{0}" else container, "merge", container, text, (), (source,), chunks=chunks
    )
    if outer == "{0}":
        return start, [merge]
    return start, [merge, replace(join, text=outer, inputs=((container, 0),))]


def _merge_form(text: str, count: int) -> tuple[str, str] | None:
    """The expression that joins any number of paths, and the expression around it; None for other texts."""
    places = [f"{{{place}}}" for place in range(count)]
    listed = f"[{', '.join(places)}]"
    if listed in text:
        return text.replace(listed, "[{paths}]"), "{0}"
    for sign in "+*":
        if re.fullmatch(rf"[(){{}}\d \{sign}]+", text):
            return f"{{0}} {sign} {{1}}", "{0}"
        joined = f"({f' {sign} '.join(places)})"
        if joined in text:
            return f"{{0}} {sign} {{1}}", text.replace(joined, "{0}")
    return None


def _are_chunks(slices: list[ForwardStep | None], channels: Channels) -> bool:
    """Whether the slices are equal, in order, and cover all channels of one value."""
    first = slices[0]
    if first is None or first.text != _SLICE:
        return False
    width = dict(first.literals)["stop"]
    for number, cut in enumerate(slices):
        expected = (("start", number * width), ("stop", (number + 1) * width))
        if cut is None or cut.text != _SLICE or cut.inputs != first.inputs or cut.literals != expected:
            return False
    return channels[first.inputs[0]] == int(width) * len(slices)
