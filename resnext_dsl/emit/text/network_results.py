"""The results of a network that has several: the class that holds them, and the statements that compute them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from resnext_dsl.emit.blocks.module_block import Ref
from resnext_dsl.emit.patterns.pattern_tree import StepPattern
from resnext_dsl.emit.text.call_layout import broken, call, indented, lines, prefixed
from resnext_dsl.emit.text.network_regions import INPUT, NetworkRegions
from resnext_dsl.emit.text.network_steps import NetworkSteps
from resnext_dsl.emit.text.python_names import RESERVED, identifier, unused
from resnext_dsl.graph.ir import Output


def result_class(name: str, outputs: Sequence[Output]) -> list[str]:
    """The named tuple of the results, two empty lines after it; no lines if there is one result."""
    if len(outputs) == 1:
        return []
    always = [output for output in outputs if not output.training_only]
    training = [output for output in outputs if output.training_only]
    fields = _fields([*always, *training])
    rows = [f"{field}: Tensor" for field in fields[: len(always)]]
    default = " | None = None" if len(always) > 1 else ""
    rows += [f"{field}: Tensor{default}" for field in fields[len(always) :]]
    when = "; what is None exists in training only" if training else ""
    if len(always) == 1:
        when = " in training"
    return [f"class {name}(NamedTuple):", *indented([f'"""What the network gives{when}."""', "", *rows]), "", ""]


def several_results(network: NetworkSteps, result: str) -> list[str]:
    """The statements of a forward that returns an instance of the class `result`."""
    regions = network.regions
    if regions.whole:
        return _by_mode(network, result, network.steps, {INPUT: "x"}, [])
    count = len(regions.to_head)
    to_head = ["features"] if count == 1 else [f"features{number + 1}" for number in range(count)]
    names = _names_of_features(regions, to_head)
    if regions.to_outputs:
        variables = ", ".join([*to_head, *(names[ref] for ref in regions.to_outputs)])
        body = broken(f"{variables} = self.{network.collect_features}(x)")
    else:
        body = broken(f"{', '.join(to_head)} = self.forward_features(x)")
    entering = to_head[0] if count == 1 else f"({', '.join(to_head)})"
    body += broken(f"main = self.forward_head({entering})")
    return [*body, *_by_mode(network, result, regions.others, names, ["main"])]


def _names_of_features(regions: NetworkRegions, to_head: list[str]) -> dict[Ref, str]:
    """The variables of a forward before its other results: the input, the features, the main result."""
    names: dict[Ref, str] = {INPUT: "x"}
    for ref in regions.to_outputs:
        names[ref] = unused(ref[0].replace(".", "_"), {*names.values(), "main"})
    for ref, name in zip(regions.to_head, to_head, strict=True):
        names.setdefault(ref, name)
    names[regions.main] = "main"
    return names


def _by_mode(
    network: NetworkSteps, result: str, steps: Sequence[StepPattern], names: dict[Ref, str], ready: list[str]
) -> list[str]:
    """The statements for the results of both modes, a return of these in eval mode, and those of training.

    Args:
        network: The network.
        result: Name of the class of its results.
        steps: The steps that are left.
        names: The variables at the start.
        ready: The variables of the first results, which need no more steps.
    """
    always = [output.node for output in network.graph.outputs if not output.training_only][len(ready) :]
    training = network.refs(output.node for output in network.graph.outputs if output.training_only)
    wanted = network.refs(always)
    if not training:
        statements, values = network.write(steps, names, wanted)
        return [*statements, *_returned(result, [*ready, *values])]
    needed = network.regions.needed(wanted)
    first = [step for step in steps if step.step.name in needed]
    rest = [step for step in steps if step.step.name not in needed]
    passed = _passed(first, rest, names, training)
    statements, values = network.write(first, names, [*wanted, *passed])
    known = {**names, **dict(zip([*wanted, *passed], values, strict=True))}
    results = [*ready, *values[: len(wanted)]]
    kept = frozenset(re.findall(r"\w+", " ".join(results)))
    in_training, more = network.write(rest, known, training, kept)
    early = _returned(result, results) if len(results) > 1 else [f"return {results[0]}"]
    return [
        *statements,
        "if not self.training:",
        *indented(early),
        *in_training,
        *_returned(result, [*results, *more]),
    ]


def _passed(first: list[StepPattern], rest: list[StepPattern], names: dict[Ref, str], training: list[Ref]) -> list[Ref]:
    """The values that the rest and the results of training read: values at the start and of the first steps."""
    steps = {step.step.name for step in first}
    read = [*(ref for step in rest for ref in step.step.inputs), *training]
    return list(dict.fromkeys(ref for ref in read if ref in names or ref[0] in steps))


def _returned(result: str, values: list[str]) -> list[str]:
    return lines(prefixed("return ", call(result, values)))


def _fields(outputs: Sequence[Output]) -> list[str]:
    """The fields of the named tuple: `p_0` for the output `p.0`; tuples have methods `count` and `index`."""
    fields: list[str] = []
    for output in outputs:
        name = identifier(output.name.replace(".", "_")).lstrip("_") or "value"
        name = f"{name}_" if name in RESERVED or name in ("count", "index") else name
        fields.append(unused(name, fields))
    return fields
