"""Emitted classes work for every width and stride that their constructors take, not for those of the spec alone."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import resnext_dsl as rx
from resnext_dsl.semantics.spec_files import shipped_names

FAST = ("regnetx_002", "mobilenetv3_large_100", "resnet18")


def classes_of(text: str) -> dict[str, type[nn.Module]]:
    """The classes of emitted source."""
    names: dict[str, Any] = {"__name__": "emitted"}
    exec(compile(text, "emitted", "exec"), names)
    classes = {name: value for name, value in names.items() if inspect.isclass(value) and issubclass(value, nn.Module)}
    return {name: value for name, value in classes.items() if value.__module__ == "emitted"}


class Recorder:
    """The arguments and input shapes of the instances of classes, as a network builds and runs them."""

    def __init__(self, classes: list[type[nn.Module]]) -> None:
        self.instances: dict[str, tuple[type[nn.Module], dict[str, Any], torch.Size]] = {}
        self.originals = [(each, each.__init__, each.forward) for each in classes]
        for each in classes:
            self._watch(each)

    def _watch(self, each: type[Any]) -> None:
        build, run = each.__init__, each.forward

        def __init__(module: Any, *values: Any, **named: Any) -> None:
            bound = inspect.signature(build).bind(module, *values, **named)
            bound.apply_defaults()
            build(module, *values, **named)
            module.arguments = {name: value for name, value in bound.arguments.items() if name != "self"}

        def forward(module: Any, *inputs: torch.Tensor) -> Any:
            if len(inputs) == 1 and inputs[0].dim() == 4:
                key = f"{each.__name__}{module.arguments}"
                self.instances.setdefault(key, (each, module.arguments, inputs[0].shape))
            return run(module, *inputs)

        each.__init__, each.forward = __init__, forward

    def stop(self) -> None:
        for each, build, run in self.originals:
            each.__init__, each.forward = build, run  # type: ignore[method-assign]


def variations(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Other strides and input widths; a hidden width that is the input's stays so."""
    width, out = arguments.get("in_channels"), arguments.get("channels", arguments.get("out_channels"))
    widths = {width, *([2 * width, 3 * width, out] if width and out else [2 * width] if width else [])}
    for stride in (1, 2) if "stride" in arguments else (None,):
        for each in sorted(widths - {None}) or [None]:
            changed = {"stride": stride, "in_channels": each}
            if arguments.get("hidden_channels") == width and arguments.get("expansion") == 1:
                changed["hidden_channels"] = each
            yield arguments | {name: value for name, value in changed.items() if value is not None}


def check_variations(network: rx.Network) -> int:
    """Builds and runs each block of a network with other arguments; the number of them."""
    classes = classes_of(network.emit())
    *blocks, whole = (each for name, each in classes.items() if name != "Chain")
    recorder = Recorder(blocks)
    count = 0
    with torch.device("meta"), torch.no_grad():
        whole().eval()(torch.zeros(1, *network.ir.nodes[0].shape))
        recorder.stop()
        for block, arguments, shape in recorder.instances.values():
            for other in variations(arguments):
                channels = other["in_channels"] if "in_channels" in other else shape[1]
                result = block(**other).eval()(torch.zeros(shape[0], channels, *shape[2:]))
                results = result if isinstance(result, tuple) else (result,)
                assert all(isinstance(each, torch.Tensor) for each in results)
                count += 1
    return count


@pytest.mark.parametrize("name", FAST)
def test_blocks_of_shipped_networks_take_other_widths_and_strides(name: str) -> None:
    assert check_variations(rx.load(name)) > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(shipped_names()) - set(FAST)))
def test_blocks_of_all_shipped_networks_take_other_widths_and_strides(name: str) -> None:
    check_variations(rx.load(name))


ONE_WIDTH = """template bottleneck(d, stride = 1) {{
    residual {{
        conv(d, 1x1); bn; relu
        conv(d, 3x3, stride=stride); bn; relu
        conv({out}, 1x1); bn
    }}
    relu
}}
network n {{
    input image: 3x32x32
    stem {{ conv(64, 3x3); bn; relu }}
    {stages}
    head {{ avgpool(global); flatten; linear(10) }}
}}
"""

STAGES = {
    "one width": ("256", "stage a repeat 3 { bottleneck(64) }"),
    "one stride": (
        "256",
        "stage a repeat 2 { bottleneck(64) }; stage b repeat 2 { bottleneck(64, stride=first(2, 1)) }",
    ),
    "stride beside a wider output": (
        "d * 4",
        "stage a repeat 2 { bottleneck(64) }; stage b repeat 2 { bottleneck(128, stride=first(2, 1)) }",
    ),
    "no shortcut at stride 1": (
        "64",
        "stage a repeat 2 { bottleneck(64) }; stage b repeat 2 { bottleneck(32, stride=first(2, 1)) }",
    ),
}


@pytest.mark.parametrize("case", STAGES)
def test_a_block_takes_any_width_and_stride_that_its_signature_offers(case: str) -> None:
    out, stages = STAGES[case]
    network = rx.loads(ONE_WIDTH.format(out=out, stages=stages))
    block = classes_of(network.emit())["Bottleneck"]
    names = list(inspect.signature(block).parameters)
    usual = {"in_channels": 64, "d": 64, "out_channels": 256, "stride": 1}
    assert set(names) <= set(usual)
    strides = (1, 2) if "stride" in names else (1,)
    widths = (64, 96, 256) if "in_channels" in names else (64,)
    for stride in strides:
        for width in widths:
            arguments = {name: {**usual, "in_channels": width, "stride": stride}[name] for name in names}
            result = block(**arguments).eval()(torch.zeros(1, width, 8, 8))
            assert result.shape[2:] == (8 // stride, 8 // stride)
            assert result.shape[1] == {"256": 256, "d * 4": 256, "64": 64}[out]
