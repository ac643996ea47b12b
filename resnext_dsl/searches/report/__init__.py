"""What a search has found, as one HTML page: its front, history, importance of parameters, distribution of error.

`rows`, `importance` and `distribution` are what is known of the results; `charts` draws it, `sections` says it, and
`document` is the page around them. Altair is imported here only.
"""
