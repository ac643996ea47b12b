"""From a graph to a live torch module."""
