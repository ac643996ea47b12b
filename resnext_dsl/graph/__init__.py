"""The compiler's graph: nodes with operator, attributes and shape, and the invariants that it must satisfy."""
