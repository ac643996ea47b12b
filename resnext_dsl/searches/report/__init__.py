"""The results of a search as one HTML page: front, history, importance of parameters, distribution of error.

`rows`, `importance` and `distribution` compute the data; `charts` draws it, `sections` describes it, and `document`
is the page around them. Only this package imports Altair.
"""
