"""The grid of some parameters with domains of the caller, which checks combinations against the file's budgets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from resnext_dsl.columns.lanes import Array, Mask
from resnext_dsl.semantics.domain import Domain
from resnext_dsl.semantics.overrides import element_of
from resnext_dsl.spaces.dimensions import Dimension, dimension_of
from resnext_dsl.spaces.grid import Grid
from resnext_dsl.spaces.layout import Layout
from resnext_dsl.spaces.screen import Screen


class VariedGrid(Grid):
    """The combinations of domains that need not be those of the file; the other parameters keep their values.

    Attributes:
        vary: The domains by parameter; an element of a list is named `depths[2]`.
    """

    def __init__(self, grid: Grid, vary: Mapping[str, Domain]) -> None:
        super().__init__(grid.spec, grid.fixed)
        self.vary = dict(vary)

    @cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """One for each parameter that varies, or for each element of a list with an element that varies."""
        dimensions: list[Dimension] = []
        for name in dict.fromkeys((element_of(key) or (key, 0))[0] for key in self.vary):
            parameter = self.network.parameters[name]
            if name in self.vary:
                dimensions.append(dimension_of(parameter, None, self.vary[name], parameter.value))
                continue
            for place, value in enumerate(parameter.value):
                domain = self.vary.get(f"{name}[{place}]", Domain((value,)))
                dimensions.append(dimension_of(parameter, place, domain, value))
        return tuple(dimensions)

    @cached_property
    def layout(self) -> Layout:
        """The dimensions, all of which are active: the caller gives each a value."""
        return Layout(self.dimensions, {})

    def meets(self, screen: Screen, places: Array) -> Mask:
        """Whether combinations are valid and meet the limits of a screen of this grid.

        Args:
            screen: The screen.
            places: One row for each combination: the indices of its values in the domains of `vary`.
        """
        columns = dict(zip(self.vary, places.T, strict=True))
        fixed = np.zeros(len(places), dtype=np.int64)
        return screen.judge([columns.get(dimension.name, fixed) for dimension in self.dimensions]).kept
