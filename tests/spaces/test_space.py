"""A space is looked up late, and binds candidates to the networks that `load` gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import resnext_dsl as rx
from resnext_dsl.semantics.spec_files import SHIPPED


def test_check_imports_no_numpy() -> None:
    program = (
        "import sys\nfrom typer.testing import CliRunner\nfrom resnext_dsl.cli.app import app\n"
        "assert CliRunner().invoke(app, ['check', 'resnet18', 'vgg11']).exit_code == 0\n"
        "import resnext_dsl as rx\nrx.load('resnet18').cost()\n"
        "heavy = ('numpy', 'torch', 'pydantic', 'networkx')\n"
        "assert not [name for name in heavy if name in sys.modules]\n"
        "import resnext_dsl.spaces\nassert callable(rx.space) and 'numpy' in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_only_space_is_looked_up_late() -> None:
    assert rx.space is rx.space
    with pytest.raises(AttributeError, match="has no attribute 'spice'"):
        rx.spice  # noqa: B018


def test_what_values_share_of_a_text_changes_no_network(tmp_path: Path) -> None:
    text = (SHIPPED / "resnext50_32x4d.arch").read_text().replace("bottleneck", "bottleneck, aggregated", 1)
    spec = tmp_path / "blocks.arch"
    spec.write_text(text)
    space = rx.space(spec, resolution=64)
    for width, block in ((4, "bottleneck"), (8, "aggregated"), (4, "bottleneck"), (5, "aggregated")):
        values = {"width": width, "cardinality": 4, "block": block}
        assert told(space.bind(values)) == told(rx.load(spec, resolution=64, **values))


def told(network: rx.Network) -> list[Any]:
    """The nodes of a network, whose spans are of its own reading, with the places of these."""
    return [node._replace(span=node.span.start, trail=()) for node in network.ir.nodes]
