"""Computes the cost of many candidates at once; a number of the language becomes a column of numbers."""
