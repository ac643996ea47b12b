"""The limits that a spec states: measures, bounds, and how much of each limit a network uses."""
