"""Rewrites a graph into another form of the same function, with a map that moves the weights along.

    graph -> (rules change a workspace) -> graph, weight map, report

- `join`, `merges`: several paths become one, form (a) -> (b) -> (c)
- `spread`: the inverse of `join`
- `fold`: rules that compute with weights, for inference only
- `siblings`: several readers of one value become one operator
- `driver`: runs these passes, and checks the graph before and after each
- `steps`, `carry`: the moves of tensors as records, and their execution; only `carry` imports torch
"""

from resnext_dsl.rewrite.driver import FORMS, MODES, Rewritten, canonical, rewrite

__all__ = ["FORMS", "MODES", "Rewritten", "canonical", "rewrite"]
