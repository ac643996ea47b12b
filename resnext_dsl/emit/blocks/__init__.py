"""From a graph to blocks: a block is one scope as a module, every attribute a literal.

- `levels`: the scopes that become modules, and the values that each takes and gives
- `module_block`: the records: a block, its modules, its steps
- `collect`: one block for each level
- `path_merges`: the calls of all paths and the expression that joins them, as one step
"""
