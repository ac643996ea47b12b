"""Keeps the calls of a trace that its outputs need, after rules have replaced some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnext_dsl.importing.trace import Call, Ref


def needed_calls(calls: Sequence[Call], outputs: Mapping[str, Ref]) -> tuple[list[Call], dict[str, Ref]]:
    """Only the calls that the outputs need, numbered anew."""
    needed: set[int] = {output.call for output in outputs.values()}
    for index in reversed(range(len(calls))):
        if index in needed:
            needed.update(ref.call for ref in references(calls[index].arguments))
    kept = [index for index in range(len(calls)) if index in needed]
    places = {before: Ref(after) for after, before in enumerate(kept)} | {-1: Ref(-1)}
    moved = [
        calls[index]._replace(arguments={name: _moved(item, places) for name, item in calls[index].arguments.items()})
        for index in kept
    ]
    return moved, {name: places[output.call] for name, output in outputs.items()}


def _moved(argument: Any, places: Mapping[int, Ref]) -> Any:
    if isinstance(argument, list):
        return [_moved(item, places) for item in argument]
    return places[argument.call] if isinstance(argument, Ref) else argument


def references(argument: Any) -> list[Ref]:
    """The results of calls in an argument, a list of arguments or a mapping of arguments."""
    if isinstance(argument, Mapping):
        return [ref for item in argument.values() for ref in references(item)]
    if isinstance(argument, list):
        return [ref for item in argument for ref in references(item)]
    return [argument] if isinstance(argument, Ref) else []
