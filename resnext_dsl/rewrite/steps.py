"""The moves of tensors when a graph is rewritten, as steps; a tensor is named by its node and field.

Steps hold no tensors; `carry` executes them. A step that only moves elements has an inverse. A step that computes (a
folded norm, a sum of biases) has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnext_dsl.foundation.records import NamedTuple

Key = tuple[int, str]
"""A tensor during rewriting: the number of its node in the workspace, and its field."""


class TensorStep(NamedTuple):
    """One move or computation.

    Attributes:
        kind: "join" concatenates the sources along an axis, "cut" is its inverse.
            "share" takes the one value of equal sources, "copy" is its inverse.
            Any other kind is the name of a formula in `carry.FORMULAS`.
        sources: The tensors that it reads.
        targets: The tensors that it computes.
        arguments: Axis and sizes along it for "join" and "cut"; else the arguments of the formula.
    """

    kind: str
    sources: tuple[Key, ...]
    targets: tuple[Key, ...]
    arguments: tuple[Any, ...] = ()


INVERSE = {"join": "cut", "cut": "join", "share": "copy", "copy": "share"}
"""Kind of a step that only moves elements -> the kind that moves them back."""


class WeightMap(NamedTuple):
    """A map from one state_dict to another.

    Attributes:
        before: State_dict key -> tensor before the steps.
        steps: The steps in the order of their execution.
        after: State_dict key -> tensor after the steps, in the order of the rewritten network.
    """

    before: Mapping[str, Key]
    steps: tuple[TensorStep, ...]
    after: Mapping[str, Key]

    @property
    def invertible(self) -> bool:
        """Whether it only moves elements and drops none, so that it has an inverse."""
        if not all(step.kind in INVERSE for step in self.steps):
            return False
        used = {key for step in self.steps for key in step.sources}
        return used | set(self.after.values()) >= set(self.before.values())

    def inverse(self) -> WeightMap:
        """The map back.

        Raises:
            ValueError: If the map has no inverse.
        """
        if not self.invertible:
            raise ValueError("the map has no inverse: it computes with weights or drops some")
        steps = tuple(TensorStep(INVERSE[s.kind], s.targets, s.sources, s.arguments) for s in reversed(self.steps))
        return WeightMap(self.after, steps, self.before)
