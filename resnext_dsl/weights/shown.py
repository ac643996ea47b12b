"""Names of a checkpoint as messages print them."""

from __future__ import annotations

MAX_SHOWN = 120


def shown(name: str) -> str:
    """A key as errors print it: without control characters, at most `MAX_SHOWN` characters."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[: MAX_SHOWN + 1])
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
