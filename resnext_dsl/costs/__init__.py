"""What a graph costs: parameters, FLOPs and memory in closed form, and fvcore's own count of a module."""
