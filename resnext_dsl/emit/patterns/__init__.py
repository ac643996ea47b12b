"""From blocks to patterns: a pattern is the common part of several blocks, with holes where they differ.

- `pattern_tree`: the records: patterns and their holes
- `keyword_defaults`: torch's defaults, for comparing a call that names a keyword with one that does not
- `unify`: several modules at one place -> one pattern
- `wiring`: several blocks -> one pattern of a class, the steps included
"""
