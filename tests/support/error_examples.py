"""A small bad spec for every diagnostic code, and the page that shows them: `python tests/support/error_examples.py > docs/errors.md`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import resnext_dsl as rx
from resnext_dsl.budgets.usage import violations
from resnext_dsl.foundation.diagnostics import CODES


@dataclass(frozen=True, slots=True)
class Example:
    """A spec with a mistake; `files` stand beside it, `options` and `settings` are passed on."""

    text: str
    files: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def net(body: str, before: str = "") -> str:
    """A network around a body."""
    return f"{before}network n {{\n    input image: 3x32x32\n    {body}\n}}\n"


EXAMPLES: dict[str, Example] = {
    "E001": Example(net("\N{CYRILLIC SMALL LETTER ES}onv(8, 3x3)")),
    "E002": Example(net("conv(8, 3x3) bn")),
    "E003": Example(net("conv(8, 3x3; bn")),
    "E101": Example(net("conv(8, 3x3); rleu")),
    "E102": Example(net("param width = 4\n    param width = 8\n    conv(width, 3x3)")),
    "E103": Example(net("let __class__ = 4\n    conv(8, 3x3)")),
    "E104": Example(net("a", "template a { b }\ntemplate b { relu; a }\n")),
    "E105": Example(net("conv(first(8, 16), 3x3)")),
    "E201": Example(net("conv(8, 3x3, strid=2)")),
    "E202": Example(net("conv(8)")),
    "E203": Example(net("relu(1)")),
    "E204": Example(net("conv(16 / 2, 3x3)")),
    "E205": Example(net("conv(0, 3x3)")),
    "E206": Example(net("conv(8 // 0, 3x3)")),
    "E207": Example(net("let act = 4\n    conv(8, 3x3); act")),
    "E210": Example(net("conv(8, 3x3)\n    budget { latency(cpu, 1) <= 5 }")),
    "E208": Example(net("conv(8, 3x3)\n    budget { parms <= 1M }")),
    "E209": Example(net("stem { conv(8, 3x3); bn }\n    init { stem.linear.weight = normal(0.01) }")),
    "E301": Example(net("conv(8, 3x3); linear(10)")),
    "E302": Example(net("conv(64, 1x1)\n    conv(250, 3x3, groups=32)")),
    "E303": Example(net("maxpool(16x16)\n    conv(8, 7x7, padding=0)")),
    "E304": Example(net("conv(8, 3x3) as a\n    conv(16, 3x3)\n    add(a)")),
    "E305": Example("network n {\n    conv(8, 3x3)\n}\n"),
    "E401": Example(net("conv(8, 3x3)"), options={"max_source_bytes": 40}),
    "E402": Example(net("conv((((8))), 3x3)"), options={"max_depth": 4}),
    "E403": Example(net("a", "template a { b }\ntemplate b { c }\ntemplate c { relu }\n"), options={"max_calls": 2}),
    "E404": Example(net("conv(2 ** 200, 3x3)")),
    "E405": Example(net("repeat 10 ** 20 { conv(8, 3x3) }")),
    "E406": Example(net("relu", 'import "a.arch"\n'), files={"a.arch": ""}, options={"max_files": 1}),
    "E501": Example(net("relu", 'import "blocs.arch"\n'), files={"blocks.arch": ""}),
    "E502": Example(net("relu", 'import "../other.arch"\n')),
    "E503": Example(net("relu", 'import "a.arch"\n'), files={"a.arch": 'import "spec.arch"\n'}),
    "E504": Example("let a = 1\n"),
    "E601": Example(net("conv(64, 3x3)\n    budget { params <= 1K; flops <= 1M }")),
    "E602": Example(
        net('param width = 6\n    require width % 4 == 0, "the kernels need a multiple of 4"\n    conv(width, 3x3)')
    ),
    "W901": Example(net("param width = 4\n    conv(8, 3x3)")),
    "W902": Example(net("conv(8, 3x3) as a\n    use image\n    conv(4, 3x3)")),
}
"""Code -> example. `ELSEWHERE` has the codes that no spec text can cause."""

ELSEWHERE: dict[str, str] = {
    "E505": "`resnext-dsl check resnext5_32x4d`: no file and no shipped network has this name. The hint gives the nearest name.",
    "E603": "`resnext-dsl check SPEC --measure`: the spec limits `latency(cuda, 1)`, and the machine has no such device.",
    "E604": "`resnext-dsl solve SPEC --vary width --under flops=1M`: no width in its domain gives a network of at most 1M flops.",
    "E605": "`resnext-dsl export resnet18 --to onnx`: `onnxruntime` is not installed; the hint names the extra that installs it.",
    "E606": "`resnext-dsl bench unet --against torchvision`: torchvision has no network `unet`.",
    "E607": "`resnext-dsl bench resnet18 --backend openvino --mode train`: OpenVINO does not train.",
    "E608": "`resnext-dsl compile resnet18 --form a`: the network has no grouped convolution that can be written as separate paths.",
    "E610": "A network with attention is imported: the language has no operator for `matmul`. The error lists every such call with its module, its class and its line in the model's source.",
    "E611": "A model is imported whose code branches on the values of its input. The message names the module, its class and the line.",
    "E621": "`resnext-dsl import model.onnx`: the file is missing, damaged or truncated, or it states sizes that its content does not have.",
    "E622": "`resnext-dsl import model.pt2`: the archive has another version, or the ONNX file has operators of another domain. The hint says how to save it again.",
    "E623": "`resnext-dsl import model.onnx`: the weights lie in a file outside the folder of the model, or an archive has them as a pickle.",
    "E624": "`resnext-dsl import model.onnx`: the file has an operation that has no counterpart in torch. Every such operation has a message of its own.",
    "E701": "`resnext-dsl weights resnet34 resnet18.pth`: the message names the first layer that differs, in the network and in the file.",
    "E702": "`resnext-dsl weights resnet18 broken.pth`: the file has no weights, or reading it would run code.",
    "E703": "`resnext-dsl weights resnet18 theirs.pth -o missing/ours.pt`: the folder does not exist.",
    "E704": "`resnext-dsl export resnet18 --to onnx -o missing/model.onnx`: the folder does not exist.",
    "E705": "`resnext-dsl export resnet18 --to onnx --dtype float64`: the format cannot store this type, or its exporter fails.",
    "E706": "`resnext-dsl weights resnet50 blur.pth --reference mine:resnetblur50`: the network computes other values than the module of the function. The message names the first layer that differs.",
    "E707": "`resnext-dsl weights SPEC FILE --map brnch1=stem.conv`: the checkpoint has no layer `brnch1`. The hint gives the nearest name.",
    "E708": "`resnext-dsl weights SPEC FILE --reference mine:build`: the module `mine` cannot be imported, or the function raises an exception.",
    "E711": "`resnext-dsl train SPEC --lr 0`: the learning rate must be above 0. Unknown recipes and missing devices have this code too.",
    "E712": "`resnext-dsl train SPEC --data cifar10 --data-dir DIR`: a file is missing or truncated, or is part of the pickled version of the data set, which is not read.",
    "E713": "`resnext-dsl train SPEC --set classes=3`: the digits have ten classes. The hint names the parameter to set.",
    "E714": "`resnext-dsl train SPEC --resume`: the folder has no run, or a run with another network, recipe or data set.",
    "E715": "`resnext-dsl train SPEC --lr 1e9`: the loss is no longer finite. The exit status is 1, because the spec is valid.",
    "E721": "`resnext-dsl search SPEC --maximize accuracy --evaluator mine:acuracy`: the module has no such function.",
    "E722": "`resnext-dsl search SPEC --maximize params --evaluator cost --storage postgresql://nowhere/x`: no server answers.",
    "E723": "`resnext-dsl search` with the `--study` name of a search that has another spec or other objectives.",
    "E724": "The workers of a search stop repeatedly before any of them has a result; the message shows the last output of one worker. Other causes: `--engine ray` finds no cluster, or no node has the `--resources`.",
    "W903": "`resnext-dsl search SPEC --evaluator mine:accuracy`, continued after the body of the function has changed: the results of both versions stand in one study. Comments and the layout do not count.",
    "E801": "Two counts of one network differ, or a graph breaks an invariant. This is a defect of the tool; please report it with the spec.",
    "E802": "`resnext-dsl export SPEC --to aoti`: the tool reads the exported file back, and its outputs differ from the network's. The tool writes nothing. Please report it with the spec.",
    "W911": "`resnext-dsl weights SPEC FILE`: two paths have equal shapes and differ in dilation, and names do not say which weights are whose. `--map THEIRS=OURS` does.",
    "W912": "`resnext-dsl weights SPEC diverged.pth`: tensors have NaN or infinite values. The message names them.",
    "W913": "`resnext-dsl weights SPEC checkpoint.pth.tar`: the file of timm has `state_dict` and `state_dict_ema`, and the average is loaded. `--no-ema` takes the other.",
    "W914": "`resnext-dsl weights mobilenetv3_large_100 mobilenet_v3_large.pth`: torchvision's network has another eps. The hint names the parameter to set.",
    "W915": "`resnext-dsl train SPEC --weights FILE`: the checkpoint has 1000 classes, so the classifier keeps new initial weights.",
    "W921": "`resnext-dsl import mine:build`: the module branches on a size of its input, so the network is that of the given input only.",
}


def output(example: Example) -> str:
    """The diagnostics of an example, as the tool prints them."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**example.files, "spec.arch": example.text}.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        return _diagnostics_of(example, Path(folder)).replace(f"{folder}/", "")


def _diagnostics_of(example: Example, folder: Path) -> str:
    try:
        network = rx.load(folder / "spec.arch", options=rx.Options(**example.options), **example.settings)
    except rx.ArchError as problem:
        return str(problem)
    problem = violations(network.usage())
    return "\n\n".join(d.render() for d in (problem.diagnostics if problem is not None else network.warnings))


def page() -> str:
    """The reference of diagnostics."""
    lines = [
        "# Diagnostics",
        "",
        "Every diagnostic has a code with a fixed meaning, a place, a message and often a hint.",
        "Codes that begin with E are errors; codes that begin with W are warnings. `check --json` gives them as data.",
        "",
    ]
    for code, meaning in CODES.items():
        lines += [f"## {code}: {meaning}", ""]
        if code in ELSEWHERE:
            lines += [ELSEWHERE[code], ""]
            continue
        example = EXAMPLES[code]
        options = ", ".join(f"`{name}={value}`" for name, value in example.options.items())
        lines += ["```arch", example.text.rstrip(), "```", ""]
        lines += [f"With the option {options}:", ""] if options else []
        lines += ["```", output(example), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(page(), end="")
