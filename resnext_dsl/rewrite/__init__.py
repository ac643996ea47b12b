"""The algebra of split-transform-merge: the same function in another spelling, with the weights moved along.

    graph -> (workspace: rules at work) -> graph, weight map, report

`join` and `merges` make one path of several, form (a) -> (b) -> (c); `spread` is the inverse; `fold` computes with
weights and is for inference. `driver` runs them between two verified graphs. `steps` says how tensors move and `carry`,
the only part that imports torch, moves them.
"""

from resnext_dsl.rewrite.driver import FORMS, MODES, Rewritten, canonical, rewrite

__all__ = ["FORMS", "MODES", "Rewritten", "canonical", "rewrite"]
