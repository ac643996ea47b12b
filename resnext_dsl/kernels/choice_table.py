"""The fastest configuration of each layer on one card, kept in a JSON file in the user's cache folder.

The file names the card and the versions of torch, CUDA, cuDNN and Triton that the times belong to. A file of another
card or version, and a file that cannot be read, is ignored and written anew.
"""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resnext_dsl.foundation.atomic import write_text
from resnext_dsl.kernels.configurations import BLOCKS, KERNELS, Configuration

CACHE_VARIABLE = "RESNEXT_DSL_CACHE"
"""The environment variable that names another cache folder."""

FORMAT = 1

LARGEST_FILE = 16 * 2**20
"""The most bytes of a file that is read."""


class KernelChoice(BaseModel):
    """The measurement of one direction of a layer.

    Attributes:
        configuration: The fastest configuration; None if torch's kernel is faster.
        seconds: Seconds of a call with the configuration; 0 if none ran.
        torch_seconds: Seconds of a call of torch's kernel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    configuration: Configuration | None
    seconds: float = Field(ge=0)
    torch_seconds: float = Field(ge=0)


class _Content(BaseModel):
    """The content of a file."""

    model_config = ConfigDict(extra="forbid")

    format: int
    card: dict[str, str]
    choices: dict[str, KernelChoice]


class ChoiceTable:
    """The choices of one card; each new choice is written to the file at once.

    Args:
        path: The file; None keeps the choices in memory only.
        card: The name of the card and the versions, as `card_of` gives them.
    """

    def __init__(self, path: Path | None, card: dict[str, str]) -> None:
        self.path = path
        self.card = card
        self.choices = {} if path is None else _read(path, card)

    def get(self, key: str) -> KernelChoice | None:
        """The choice of a direction of a layer; None if it is not measured."""
        return self.choices.get(key)

    def put(self, key: str, choice: KernelChoice) -> None:
        """Keeps a choice. Choices that another process wrote in the meantime are kept too."""
        self.choices[key] = choice
        if self.path is None:
            return
        self.choices = {**_read(self.path, self.card), **self.choices}
        content = _Content(format=FORMAT, card=self.card, choices=self.choices)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, content.model_dump_json(indent=1) + "\n")
        except OSError as problem:
            warnings.warn(f"the kernel table {self.path} cannot be written: {problem.strerror}", stacklevel=2)
            self.path = None


def table_path(device_name: str) -> Path:
    """The file of a card: `kernels/NAME.json` in the cache folder.

    The folder is `$RESNEXT_DSL_CACHE`, or `resnext-dsl` in `$XDG_CACHE_HOME` or in `~/.cache`.
    """
    name = re.sub(r"[^a-z0-9]+", "-", device_name.lower()).strip("-")
    named = os.environ.get(CACHE_VARIABLE)
    caches = os.environ.get("XDG_CACHE_HOME")
    folder = Path(named) if named else (Path(caches) if caches else Path.home() / ".cache") / "resnext-dsl"
    return folder / "kernels" / f"{name}.json"


def _read(path: Path, card: dict[str, str]) -> dict[str, KernelChoice]:
    """The choices of a file; none if it is missing, belongs to another card or version, or cannot be read."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            return {}
        content = _Content.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return {}
    if content.format != FORMAT or content.card != card:
        return {}
    return {key: choice for key, choice in content.choices.items() if _is_known(choice.configuration)}


def _is_known(configuration: Configuration | None) -> bool:
    return configuration is None or (configuration.kernel in KERNELS and configuration.block in BLOCKS)
