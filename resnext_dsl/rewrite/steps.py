"""How tensors move when a graph is rewritten: steps between tensors that are known by their node and field.

Steps say what is done and hold no tensor; `carry` does it. A step that only moves elements has an inverse; one that
computes (a folded norm, a sum of biases) has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnext_dsl.foundation.records import NamedTuple

Key = tuple[int, str]
"""A tensor while rules are at work: the number of its node in the workspace and its field."""


class TensorStep(NamedTuple):
    """One move or computation.

    Attributes:
        kind: "join": sources side by side along an axis are the target; "cut": the inverse; "share": sources that are
            equal are the target; "copy": the inverse; else the name of a formula in `carry.FORMULAS`.
        sources: Tensors that it uses up.
        targets: Tensors that it makes.
        arguments: (axis, sizes along it) of joins and cuts; those of the formula.
    """

    kind: str
    sources: tuple[Key, ...]
    targets: tuple[Key, ...]
    arguments: tuple[Any, ...] = ()


INVERSE = {"join": "cut", "cut": "join", "share": "copy", "copy": "share"}
"""Kinds of steps that only move elements, each with the kind that moves them back."""


class WeightMap(NamedTuple):
    """The way of tensors from one state_dict to another.

    Attributes:
        before: State_dict key -> tensor at the start.
        steps: In the order in which they are taken.
        after: State_dict key -> tensor at the end, in the order of the rewritten network.
    """

    before: Mapping[str, Key]
    steps: tuple[TensorStep, ...]
    after: Mapping[str, Key]

    @property
    def invertible(self) -> bool:
        """Whether it only moves elements and drops none, so that there is a way back."""
        if not all(step.kind in INVERSE for step in self.steps):
            return False
        used = {key for step in self.steps for key in step.sources}
        return used | set(self.after.values()) >= set(self.before.values())

    def inverse(self) -> WeightMap:
        """The way back.

        Raises:
            ValueError: Where there is none.
        """
        if not self.invertible:
            raise ValueError("this rewriting computes with weights: there is no way back")
        steps = tuple(TensorStep(INVERSE[s.kind], s.targets, s.sources, s.arguments) for s in reversed(self.steps))
        return WeightMap(self.after, steps, self.before)
