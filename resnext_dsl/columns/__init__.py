"""The cost of many candidates at once: every number of the language is a column of numbers here."""
