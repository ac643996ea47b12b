"""The cost of a graph: parameters, FLOPs and memory in closed form, and fvcore's count of a module."""
