"""Turns text into a syntax tree: tokens, the grammar's parse table, the LALR driver, the nodes, syntax errors."""
