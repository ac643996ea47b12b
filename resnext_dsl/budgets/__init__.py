"""Budgets of a spec: measures, limits, the use of each limit by a network, and the latency of a network."""
