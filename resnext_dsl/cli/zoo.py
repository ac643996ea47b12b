"""`resnext-dsl zoo`: lists the shipped networks."""

from __future__ import annotations

from typing import Annotated

import typer

from resnext_dsl.cli import answers


def zoo(
    pattern: Annotated[str, typer.Argument(help="Part of the names to list.  [default: all]")] = "",
    as_json: answers.Json = False,
) -> None:
    """List the shipped networks with their parameters and FLOPs.

    Example: resnext-dsl zoo resnext
    """
    from resnext_dsl.display import stage_table as report
    from resnext_dsl.networks.loading import load
    from resnext_dsl.semantics.spec_files import shipped_names

    with answers.reported():
        networks = [load(name) for name in shipped_names() if pattern in name]
        if not networks:
            answers.fail(f"no shipped network has `{pattern}` in its name")
        if as_json:
            answers.print_json([report.zoo_json(network) for network in networks])
        else:
            report.print_zoo(networks)
