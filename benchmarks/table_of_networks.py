"""Prints the table of networks: parameters, FLOPs, and how long a spec is beside the reference's Python.

Lines are lines of code on both sides: blank lines, comments and docstrings left out. A spec counts with the specs it derives from
and the library templates it uses; the Python with every class and function of the reference's model files that the network needs,
without the layer library, the registry and the checkpoints' addresses. `python benchmarks/table_of_networks.py` prints markdown.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

import resnext_dsl as rx
from resnext_dsl.parse import parse
from resnext_dsl.source import Source
from resnext_dsl.syntax import File, Import, Template

SPECS = Path(__file__).parent.parent / "specs"

RESNET = "torchvision.models.resnet: conv3x3 conv1x1 {block} ResNet _resnet {name}"
VGG = "torchvision.models.vgg: VGG make_layers _vgg {name}"
TIMM_RESNET = (
    "timm.models.resnet: get_padding Bottleneck downsample_conv make_blocks ResNet _create_resnet {name}; "
    "timm.layers.squeeze_excite: SEModule"
)
REGNET = (
    "timm.models.regnet: RegNetCfg quantize_float adjust_widths_groups_comp generate_regnet downsample_conv create_shortcut Bottleneck "
    "RegStage RegNet _init_weights _create_regnet {name}"
)
MOBILE = "timm.models._efficientnet_builder: _decode_block_str _scale_stage_depth decode_arch_def EfficientNetBuilder _init_weight_goog"
MOBILE_BLOCKS = "timm.models._efficientnet_blocks: num_groups {blocks} DepthwiseSeparableConv InvertedResidual"

REFERENCE_PYTHON: dict[str, str] = {
    **{name: VGG for name in ("vgg11", "vgg16", "vgg16_bn", "vgg19_bn")},
    **{name: RESNET.replace("{block}", "BasicBlock") for name in ("resnet18", "resnet34")},
    **{
        name: RESNET.replace("{block}", "Bottleneck")
        for name in ("resnet50", "resnet101", "resnet152", "wide_resnet50_2", "resnext50_32x4d", "resnext101_64x4d", "resnext101_32x8d")
    },
    "resnext101_32x4d": TIMM_RESNET.partition(";")[0],
    "seresnext50_32x4d": TIMM_RESNET,
    "alexnet": "torchvision.models.alexnet: AlexNet alexnet",
    "googlenet": "torchvision.models.googlenet: GoogLeNet Inception InceptionAux BasicConv2d googlenet",
    "inception_v3": "torchvision.models.inception: Inception3 InceptionA InceptionB InceptionC InceptionD InceptionE InceptionAux "
    "BasicConv2d inception_v3",
    "inception_v4": "timm.models.inception_v4: Mixed3a Mixed4a Mixed5a InceptionA ReductionA InceptionB ReductionB InceptionC InceptionV4 "
    "_create_inception_v4 inception_v4",
    "inception_resnet_v2": "timm.models.inception_resnet_v2: Mixed_5b Block35 Mixed_6a Block17 Mixed_7a Block8 InceptionResnetV2 "
    "_create_inception_resnet_v2 inception_resnet_v2",
    "regnetx_032": REGNET,
    "regnety_032": REGNET + "; timm.layers.squeeze_excite: SEModule",
    "densenet121": "torchvision.models.densenet: _DenseLayer _DenseBlock _Transition DenseNet _densenet densenet121",
    "mobilenetv2_100": f"timm.models.efficientnet: EfficientNet _gen_mobilenet_v2 _create_effnet mobilenetv2_100; {MOBILE}; "
    + MOBILE_BLOCKS.replace("{blocks}", ""),
    "mobilenetv3_large_100": f"timm.models.mobilenetv3: MobileNetV3 _gen_mobilenet_v3 _create_mnv3 mobilenetv3_large_100; {MOBILE}; "
    + MOBILE_BLOCKS.replace("{blocks}", "SqueezeExcite ConvBnAct"),
    "efficientnet_b0": f"timm.models.efficientnet: EfficientNet _gen_efficientnet _create_effnet efficientnet_b0; {MOBILE}; "
    + MOBILE_BLOCKS.replace("{blocks}", "SqueezeExcite"),
    "convnext_tiny": "timm.models.convnext: ConvNeXtBlock ConvNeXtStage _get_norm_layers ConvNeXt _init_weights _create_convnext convnext_tiny",
    "shufflenet_v2_x1_0": "torchvision.models.shufflenetv2: channel_shuffle InvertedResidual ShuffleNetV2 _shufflenetv2 shufflenet_v2_x1_0",
    "res2net50_26w_4s": "timm.models.res2net: Bottle2neck _create_res2net res2net50_26w_4s; " + TIMM_RESNET.partition(";")[0]
    .replace("Bottleneck ", "").replace(" _create_resnet {name}", ""),
}


def main() -> None:
    """Prints the table, one line for each shipped network."""
    declare_torchvision_operators()
    print("| network | parameters | FLOPs | lines of spec | lines of reference Python | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for path in sorted(SPECS.glob("*.arch"), key=lambda path: natural(path.stem)):
        print(row(path.stem))


def row(name: str) -> str:
    """One line of the table."""
    cost = rx.load(name).cost()
    spec = spec_lines(name)
    python = python_lines(name)
    shown = f"{python} ({library_of(name)}) | {spec / python:.2f}" if python else "- | -"
    return f"| {name} | {cost.params:,} | {cost.flops:,} | {spec} | {shown} |"


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key that puts resnet50 before resnet101."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def declare_torchvision_operators() -> None:
    """Declares two operators of torchvision's that PyPI's wheel cannot load beside a CPU build of torch; its models need neither."""
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    KEPT.append(declared)


KEPT: list[torch.library.Library] = []  # a library object takes its definitions with it when it goes


# --- lines of specs ---


def spec_lines(name: str) -> int:
    """Lines of code of a spec, of the specs it derives from and of the library templates it uses."""
    lines: set[tuple[str, int]] = set()
    for file, first, last in spec_stretches(SPECS / f"{name}.arch", None):
        text = file.read_text(encoding="utf-8").splitlines()
        lines |= {(file.as_posix(), n) for n in range(first, last + 1) if is_spec_code(text[n - 1])}
    return len(lines)


def is_spec_code(line: str) -> bool:
    """Whether a line holds anything but a comment."""
    return bool(line.strip()) and not line.strip().startswith("#")


def spec_stretches(file: Path, wanted: set[str] | None) -> Iterator[tuple[Path, int, int]]:
    """First and last lines of what is used of a file and of its imports; of the whole file where `wanted` is None."""
    tree = parse(Source(file.name, file.read_text(encoding="utf-8")))
    templates = {item.name.text: item for item in tree.items if isinstance(item, Template)}
    if wanted is None:
        yield file, 1, tree.span.source.text.count("\n")
        used = set(re.findall(r"\w+", tree.span.text))
    else:
        used = closure(wanted, templates)
        for name in sorted(used & set(templates)):
            yield file, templates[name].span.line, templates[name].span.end_line
    for target, names in imports(file, tree):
        if target.parent == SPECS:
            yield from spec_stretches(target, None)
        else:
            yield from spec_stretches(target, {original for original, alias in names if alias in used})


def closure(wanted: Iterable[str], templates: dict[str, Template]) -> set[str]:
    """The words of the wanted templates and of the templates that those use."""
    used, waiting = set(wanted), list(wanted)
    while waiting:
        template = templates.get(waiting.pop())
        words = set(re.findall(r"\w+", template.span.text)) if template else set()
        waiting += (words & set(templates)) - used
        used |= words
    return used


def imports(file: Path, tree: File) -> Iterator[tuple[Path, list[tuple[str, str]]]]:
    """The files that a file imports, with the names and what they are called here."""
    for item in tree.items:
        if isinstance(item, Import):
            target = file.parent / item.path if item.path else SPECS / f"{item.library.replace('.', '/')}.arch"
            yield target, [(original.text, alias.text) for original, alias in item.names or ()]


# --- lines of Python ---


def library_of(name: str) -> str:
    """torchvision or timm."""
    return REFERENCE_PYTHON[name].partition(".")[0]


def python_lines(name: str) -> int:
    """Lines of code of the reference's classes and functions; 0 where there is no reference."""
    total = 0
    for group in filter(None, REFERENCE_PYTHON.get(name, "").split("; ")):
        module, _, names = group.partition(": ")
        found = importlib.import_module(module)
        total += sum(code_lines(inspect.unwrap(getattr(found, each.format(name=name)))) for each in names.split())
    return total


def code_lines(thing: type | object) -> int:
    """Lines of a class or function that hold code."""
    text = textwrap.dedent(inspect.getsource(thing))  # type: ignore[arg-type]
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            left_out |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(1 for number, line in lines if number not in left_out and line.strip() and not line.strip().startswith("#"))


if __name__ == "__main__":
    main()
