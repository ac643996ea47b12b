"""Specs (a file with its imports, names resolved), the networks that they give, and advice for exceeded budgets."""
