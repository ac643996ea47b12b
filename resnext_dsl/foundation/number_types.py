"""The types of numbers that a network can compute in."""

from __future__ import annotations

NUMBER_TYPES: dict[str, int] = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Name, which is also torch's -> bytes of one number."""

DEFAULT_TYPE = "float32"
"""The type of a network for which none is given."""

DEPLOYED_TYPES = tuple([name for name, size in NUMBER_TYPES.items() if size <= NUMBER_TYPES[DEFAULT_TYPE]])
"""The types that backends are timed in and packages are compiled for: `DEFAULT_TYPE` first, then the shorter ones."""
