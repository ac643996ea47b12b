"""Spaces of networks: many candidates priced at once, and the values that do what is asked for.

`lanes` and `columns` are numbers of many candidates, which stand wherever the language takes an int; `symbolic` binds
and `priced` expands a spec on them; `axes` makes them of a caller's columns, `totals` adds up what operators cost,
`price` runs it all. Dimensions (`dimensions`, `layout`) say which candidates there are, `screen` which of them keep the
budgets, `sample` and `moves` find such. `space` is the door, `solve` and `suggest` ask questions through it.
"""

from __future__ import annotations

from resnext_dsl.spaces.candidate import Candidate
from resnext_dsl.spaces.dimensions import Dimension
from resnext_dsl.spaces.sample import Sample
from resnext_dsl.spaces.space import Space, space, space_of

__all__ = ["Candidate", "Dimension", "Sample", "Space", "space", "space_of"]
