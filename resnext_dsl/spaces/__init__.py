"""Search spaces: the candidates that the domains of a spec allow, and the methods that draw and compare them.

`dimensions`, `layout` and `grid` define which candidates exist. `screen` checks candidates against the budgets.
`sample` and `moves` find candidates that meet them. `space` is the public interface. `solver` finds values that match
a cost. `resnext_dsl.columns` computes the cost of many candidates at once.
"""
