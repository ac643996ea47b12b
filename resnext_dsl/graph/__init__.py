"""The compiler's graph: nodes with operator, attributes and shape, and the invariants of the graph."""
