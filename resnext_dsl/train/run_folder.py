"""Reads and writes the folder of a run: its weights, its metrics, and the state that a resumed run needs.

- `last.ckpt`: after every epoch, the state that a resumed run needs; read with `weights_only=True`
- `best.safetensors`: the weights of the epoch with the best test accuracy, under our keys
- `weights.safetensors`: the weights after the last epoch
- `metrics.csv`: a row for each epoch
- `result.json`: the output of `train --json`

Each file is replaced in one step. Only `last.ckpt` is read.
"""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from resnext_dsl.foundation.atomic import write_text
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.networks.network import Network
from resnext_dsl.train.datasets.image_set import ImageSet
from resnext_dsl.train.loop import Epoch
from resnext_dsl.train.recipes import Recipe
from resnext_dsl.weights import save

LAST, BEST, WEIGHTS, METRICS, RESULT = (
    "last.ckpt",
    "best.safetensors",
    "weights.safetensors",
    "metrics.csv",
    "result.json",
)


class Identity(NamedTuple):
    """The network, recipe and images of a run; a resumed run must have the same."""

    network: str
    fingerprint: str
    recipe: dict[str, Any]
    images: dict[str, Any]


def identity(network: Network, source: ImageSet, recipe: Recipe) -> Identity:
    """The identity of a run."""
    counts = {"train": len(source.train.labels), "test": len(source.test.labels), "classes": list(source.classes)}
    return Identity(network.name, network.fingerprint, recipe.to_json(), counts)


class RunState(NamedTuple):
    """The progress of a run: its epochs, and the state for `loop.Training.restore`."""

    epochs: tuple[Epoch, ...]
    state: dict[str, Any]


class RunFolder:
    """A folder that a run writes to."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.folder = folder
        self._identity = identity

    def begin(self) -> None:
        """Raises ArchError E714 if the folder already holds a run, which would be lost."""
        if (self.folder / LAST).exists():
            hint = "continue it with --resume, or choose another folder with -o DIR"
            raise _refused(self.folder, "the folder already has a run", hint)

    def progress(self) -> RunState:
        """Reads the progress of the folder's run.

        Raises:
            ArchError: E714 if there is no run, if it cannot be read, or if its network, recipe or data set differs.
        """
        content = _read(self.folder / LAST)
        self._check_identity(content["identity"])
        return RunState(tuple(Epoch(**row) for row in content["epochs"]), content["state"])

    def save(self, epochs: Sequence[Epoch], state: Mapping[str, Any]) -> None:
        """Writes the progress of the run.

        Raises:
            ArchError: E714 or E703 if it cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"identity": self._identity._asdict(), "epochs": [e._asdict() for e in epochs], "state": dict(state)}
        _write(self.folder / LAST, content)
        write_text(self.folder / METRICS, _table(epochs))
        if best(epochs) is epochs[-1]:
            self.save_weights(BEST, state["model"])

    def save_weights(self, name: str, weights: Mapping[str, Tensor]) -> None:
        """Writes weights under our keys."""
        save(self.folder / name, weights)

    def save_result(self, result: Mapping[str, Any]) -> None:
        """Writes the result of the run."""
        write_text(self.folder / RESULT, json.dumps(result, indent=2) + "\n")

    def _check_identity(self, theirs: Mapping[str, Any]) -> None:
        path, ours = self.folder / LAST, self._identity
        if theirs["fingerprint"] != ours.fingerprint:
            renamed = theirs["network"] != ours.network
            difference = f", not `{ours.network}`" if renamed else " with another architecture"
            raise _refused(path, f"the run trains network `{theirs['network']}`{difference}")
        for what, then, now in (
            *_differences(theirs["recipe"], ours.recipe),
            *_differences(theirs["images"], ours.images),
        ):
            hint = "resume with the settings that the run started with, or start another run with -o DIR"
            raise _refused(path, f"the run started with {what} {then}; found {now}", hint)


def best(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch of the best test accuracy; of several, the first."""
    return max(epochs, key=lambda epoch: epoch.accuracy)


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(f"`{key}`", _short(then.get(key)), _short(value)) for key, value in now.items() if then.get(key) != value]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _table(epochs: Sequence[Epoch]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(Epoch._fields)
    table.writerows(epochs)
    return text.getvalue()


_KINDS = {"identity": dict, "epochs": list, "state": dict}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise _refused(path, "there is no run to resume here", "leave --resume out to start one")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        whole = all(isinstance(content[key], kind) for key, kind in _KINDS.items())
        whole = whole and content["identity"].keys() >= set(Identity._fields)
        whole = whole and all(set(row) == set(Epoch._fields) for row in content["epochs"])
    except Exception as reason:  # a damaged or hostile file may cause any exception
        lines = str(reason).strip().splitlines() or [type(reason).__name__]
        raise _refused(path, f"the run cannot be read: {lines[0][:120]}") from None
    if not whole:
        raise _refused(path, "the file is not a checkpoint of a run")
    return dict(content)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        torch.save(dict(content), temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as reason:  # torch's writer raises RuntimeError on a full disk
        lines = str(reason).strip().splitlines() or [type(reason).__name__]
        raise _refused(path, f"the run cannot be written: {lines[0][:120]}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _refused(path: Path, message: str, hint: str = "") -> ArchError:
    return ArchError([Diagnostic("E714", message, hint=hint, file=str(path))])
