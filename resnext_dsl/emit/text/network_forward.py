"""The forward of the network as `forward_features` and `forward_head`."""

from __future__ import annotations

from resnext_dsl.emit.blocks.module_block import Ref
from resnext_dsl.emit.text.call_layout import broken, indented
from resnext_dsl.emit.text.forward import tensors
from resnext_dsl.emit.text.network_regions import INPUT
from resnext_dsl.emit.text.network_results import several_results
from resnext_dsl.emit.text.network_stages import in_loops
from resnext_dsl.emit.text.network_steps import NetworkSteps


def forward_features(network: NetworkSteps) -> list[str]:
    """The method `forward_features`; a second method collects the values that other results read."""
    regions = network.regions
    wanted = [*regions.to_head, *regions.to_outputs]
    body, values = network.write(in_loops(network, regions.features, wanted), {INPUT: "x"}, wanted)
    body += broken(f"return {', '.join(values)}")
    to_head = len(regions.to_head)
    title = '"""The value that enters the head, from a batch of inputs."""'
    signature = f"def forward_features(self, x: Tensor) -> {tensors(to_head)}:"
    if not regions.to_outputs:
        return [signature, *indented([title, *body])]
    collect = f"def {network.collect_features}(self, x: Tensor) -> {tensors(len(values))}:"
    entering = f"self.{network.collect_features}(x)" + (f"[: {to_head}]" if to_head > 1 else "[0]")
    return [signature, *indented([title, f"return {entering}"]), "", collect, *indented(body)]


def forward_head(network: NetworkSteps) -> list[str]:
    """The method `forward_head`: the main result from the values that enter the head."""
    regions = network.regions
    names: dict[Ref, str] = {ref: f"x{place + 1}" if place else "x" for place, ref in enumerate(regions.to_head)}
    body, values = network.write(regions.head, names, [regions.main])
    if len(names) > 1:
        body = [*broken(f"{', '.join(names.values())} = x"), *body]
    title = '"""The result, from the value that enters the head."""'
    signature = f"def forward_head(self, x: {tensors(len(names))}) -> Tensor:"
    return [signature, *indented([title, *body, *broken(f"return {values[0]}")])]


def forward(network: NetworkSteps, result: str) -> list[str]:
    """The method `forward`.

    Args:
        network: The network.
        result: Name of the class of its results, if it has several.
    """
    others = network.graph.outputs[1:]
    if not others:
        return ["def forward(self, x: Tensor) -> Tensor:", "    return self.forward_head(self.forward_features(x))"]
    returned = f"Tensor | {result}" if all(output.training_only for output in others) else result
    return [f"def forward(self, x: Tensor) -> {returned}:", *indented(several_results(network, result))]
