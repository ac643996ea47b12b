"""Spaces of networks: the candidates that a spec's domains allow, and the questions asked of them.

Dimensions (`dimensions`, `layout`, `grid`) say which candidates exist, `screen` holds them against the budgets,
`sample` and `moves` find candidates that keep them. `space` is the interface; `solve` finds the values that match a
cost. The cost of many candidates at once is computed in `resnext_dsl.columns`.
"""
