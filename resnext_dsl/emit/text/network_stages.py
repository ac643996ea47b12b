"""Methods that concern stages: loops over them, `forward_stages` and gradient checkpointing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from resnext_dsl.emit.blocks.module_block import ForwardStep, Ref
from resnext_dsl.emit.patterns.pattern_tree import StepPattern
from resnext_dsl.emit.text.call_layout import Bracketed, indented, lines
from resnext_dsl.emit.text.network_regions import INPUT
from resnext_dsl.emit.text.network_steps import NetworkSteps

_LOOP = 3
"""The number of stages in a row from which they become a loop."""


def in_loops(network: NetworkSteps, steps: Sequence[StepPattern], wanted: Sequence[Ref]) -> list[StepPattern]:
    """The steps, every three or more stages in a row as one loop."""
    reads = Counter([*(ref for step in steps for ref in step.step.inputs), *wanted])
    runs: list[list[StepPattern]] = []
    previous: StepPattern | None = None
    for step in steps:
        link = network.is_link(step) and reads[step.step.name, 0] <= 1
        if link and previous is not None and step.step.inputs == ((previous.step.name, 0),):
            runs[-1].append(step)
        else:
            runs.append([step])
        previous = step if link else None
    return [step for run in runs for step in ([_loop(run)] if len(run) >= _LOOP else run)]


def _loop(run: list[StepPattern]) -> StepPattern:
    children = " ".join(step.step.child for step in run)
    step = ForwardStep(run[-1].step.name, "stages", children, "", (), run[0].step.inputs)
    return StepPattern(step, (), None)


def forward_stages(network: NetworkSteps) -> list[str]:
    """The method `forward_stages`; no lines if the network has neither stem nor stage."""
    parts = [part for part in network.graph.parts if part.kind in ("stem", "stage")]
    if not parts:
        return []
    wanted = network.refs(part.node for part in parts)
    needed = network.regions.needed(wanted)
    steps = [step for step in network.steps if step.step.name in needed]
    if _is_chain(network, steps, wanted):
        body = _stage_loop(network, steps)
    else:
        statements, values = network.write(steps, {INPUT: "x"}, wanted)
        body = [*statements, *lines(Bracketed("return [", tuple(values), "]"))]
    title = '"""The values after the stem and after each stage, as `feature_info` lists them."""'
    return ["def forward_stages(self, x: Tensor) -> list[Tensor]:", *indented([title, *body])]


def _is_chain(network: NetworkSteps, steps: list[StepPattern], wanted: list[Ref]) -> bool:
    """Whether the steps are one call and then stages in a row, long enough for a loop, and all values are wanted."""
    if len(steps) <= _LOOP or steps[0].step.kind != "call" or not all(map(network.is_link, steps[1:])):
        return False
    chain: list[Ref] = [INPUT, *((step.step.name, 0) for step in steps)]
    in_a_row = all(step.step.inputs == (before,) for step, before in zip(steps, chain, strict=False))
    return in_a_row and wanted == chain[1:]


def _stage_loop(network: NetworkSteps, steps: list[StepPattern]) -> list[str]:
    """A loop that collects the value of every step."""
    stages = tuple(network.class_text.access(step.step.child) for step in steps[1:])
    return [
        f"stages = [{network.call(steps[0].step, ['x'])}]",
        *lines(Bracketed("for stage in (", stages, "):")),
        f"    stages.append(self.{network.run_stage}(stage, stages[-1]))",
        "return stages",
    ]


def stage_method(network: NetworkSteps) -> list[str]:
    """The method that runs a stage, under gradient checkpointing if that is on."""
    single = all(network.is_link(step) for step in network.steps if step.step.name in network.stages)
    result = "Tensor" if single else "Tensor | tuple[Tensor, ...]"
    return [
        f"def {network.run_stage}(self, stage: nn.Module, *values: Tensor) -> {result}:",
        f"    if self.{network.checkpointing} and self.training:",
        "        return checkpoint(stage, *values, use_reentrant=False)",
        "    return stage(*values)",
    ]


def set_grad_checkpointing(network: NetworkSteps) -> list[str]:
    """The method `set_grad_checkpointing`."""
    return [
        "def set_grad_checkpointing(self, enable: bool = True) -> None:",
        '    """Whether training keeps only the inputs of stages, and computes the rest again for gradients."""',
        f"    self.{network.checkpointing} = enable",
    ]
