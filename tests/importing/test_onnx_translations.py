"""Operators of ONNX, one by one: ONNX Runtime and the trace give equal outputs, and the ATen operators are the right ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.reference
import pytest
import torch
from onnx import helper
from onnx_models import floats, integers, model, noise, number, positive, runtime_outputs, saved, single
from trace_oracle import run

from resnext_dsl.importing.onnx_reader import TRANSLATIONS
from resnext_dsl.importing.onnx_trace import read_onnx
from resnext_dsl.importing.trace import Ref, Trace

IMAGE = (4, 9, 8)
LINE = (4, 9)
VOLUME = (3, 5, 6, 4)


def checked(proto: onnx.ModelProto, folder: Path, *, positive_input: bool = False, batch: int = 3) -> Trace:
    """The trace of a model; its outputs are those of ONNX Runtime."""
    path = saved(proto, folder)
    trace = read_onnx(path)
    images = torch.randn((batch, *trace.input), generator=torch.Generator().manual_seed(1)) * 2
    images = images.abs() + 0.1 if positive_input else images
    outputs = list(run(trace, images).values())
    wanted = runtime_outputs(path, images)
    assert len(outputs) == len(wanted)
    for output, want in zip(outputs, wanted, strict=True):
        torch.testing.assert_close(output, want, atol=1e-5, rtol=1e-5)
    return trace


def case(expected: str, operator: str, shape: tuple[int, ...] = IMAGE, *stored: Any, **options: Any) -> Any:
    attributes = "-".join(f"{key}={value}" for key, value in options.items())
    return pytest.param(operator, shape, stored, options, expected.split(), id=f"{operator}-{attributes}"[:80])


NORM = (positive(4), noise(4, seed=1), noise(4, seed=2), positive(4, seed=3))
WEIGHT = noise(6, 4, 3, 3)

CASES = [
    case("conv2d", "Conv", IMAGE, WEIGHT),
    case("conv2d", "Conv", IMAGE, WEIGHT, noise(6), pads=[1, 2, 1, 2], strides=[2, 1], dilations=[1, 2], kernel_shape=[3, 3]),
    case("pad conv2d", "Conv", IMAGE, WEIGHT, pads=[0, 1, 1, 2], strides=[2, 2]),
    case("conv2d", "Conv", IMAGE, noise(8, 1, 3, 3), group=4, pads=[1, 1, 1, 1]),
    case("pad conv2d", "Conv", IMAGE, WEIGHT, auto_pad="SAME_UPPER", strides=[2, 2]),
    case("pad conv2d", "Conv", IMAGE, WEIGHT, auto_pad="SAME_LOWER", strides=[2, 2]),
    case("conv2d", "Conv", IMAGE, WEIGHT, auto_pad="SAME_UPPER"),
    case("conv2d", "Conv", IMAGE, WEIGHT, auto_pad="VALID", strides=[2, 2]),
    case("conv1d", "Conv", LINE, noise(6, 4, 3), pads=[1, 1]),
    case("conv3d", "Conv", VOLUME, noise(2, 3, 3, 3, 3), strides=[1, 2, 1]),
    case("conv_transpose2d", "ConvTranspose", IMAGE, noise(4, 3, 3, 3), noise(3), strides=[2, 2], pads=[1, 1, 1, 1]),
    case("conv_transpose2d", "ConvTranspose", IMAGE, noise(4, 3, 3, 3), strides=[2, 2], output_padding=[1, 1], group=2),
    case("conv_transpose2d", "ConvTranspose", IMAGE, noise(4, 3, 3, 2), dilations=[2, 1], opset=11),
    case("batch_norm", "BatchNormalization", IMAGE, *NORM),
    case("batch_norm", "BatchNormalization", IMAGE, *NORM, epsilon=1e-3, momentum=0.8, opset=9),
    case("instance_norm", "InstanceNormalization", IMAGE, *NORM[:2], epsilon=1e-3),
    case("group_norm", "GroupNormalization", IMAGE, *NORM[:2], num_groups=2, epsilon=1e-3, opset=21),
    case("layer_norm", "LayerNormalization", (5, 7, 4), *NORM[:2], epsilon=1e-6),
    case("layer_norm", "LayerNormalization", (5, 7, 4), positive(7, 4), axis=2),
    case("layer_norm", "LayerNormalization", (5, 7, 4), positive(7, 4), noise(7, 4), axis=-2),
    case("local_response_norm", "LRN", IMAGE, size=3, alpha=0.5, beta=0.6, bias=1.5),
    case("local_response_norm", "LRN", IMAGE, size=5, alpha=0.5, bias=2.0),
    case("linear", "Gemm", (4,), noise(4, 6), noise(6)),
    case("linear", "Gemm", (4,), noise(6, 4), noise(1, 6), transB=1, alpha=0.5, beta=2.0),
    case("linear", "Gemm", (4,), noise(6, 4), floats(3.0), transB=1),
    case("linear", "Gemm", (4,), noise(6, 4), transB=1),
    case("linear", "MatMul", (5, 4), noise(4, 6)),
    case("matmul", "MatMul", (2, 5, 4), noise(2, 4, 6)),
    case("add", "Add", IMAGE, noise(4, 1, 1)),
    case("add", "Add", IMAGE, number(2.5)),
    case("sub", "Sub", IMAGE, noise(9, 8)),
    case("mul", "Mul", IMAGE, floats(0.5)),
    case("div", "Div", IMAGE, positive(4, 1, 1)),
    case("pow", "Pow", IMAGE, number(2)),
    case("clamp_min", "Max", IMAGE, number(0.2)),
    case("minimum", "Min", IMAGE, noise(8)),
    case("minimum minimum", "Min", IMAGE, noise(8), noise(9, 1)),
    case("add add", "Sum", IMAGE, noise(8), noise(9, 1)),
    case("hardtanh", "Clip", IMAGE, number(0), number(6)),
    case("clamp_min", "Clip", IMAGE, number(-1)),
    case("clamp_max", "Clip", IMAGE, None, number(1)),
    case("hardtanh", "Clip", IMAGE, min=-0.5, max=2.0, opset=10),
    case("leaky_relu", "LeakyRelu", IMAGE),
    case("leaky_relu", "LeakyRelu", IMAGE, alpha=0.2),
    case("elu", "Elu", IMAGE, alpha=0.7),
    case("celu", "Celu", IMAGE, alpha=0.7),
    case("selu", "Selu", IMAGE),
    case("prelu", "PRelu", IMAGE, noise(4, 1, 1)),
    case("prelu", "PRelu", IMAGE, floats(0.3)),
    case("mul add hardtanh", "HardSigmoid", IMAGE),
    case("hardsigmoid", "HardSigmoid", IMAGE, alpha=1 / 6),
    case("gelu", "Gelu", IMAGE, opset=20),
    case("gelu", "Gelu", IMAGE, approximate="tanh", opset=20),
    case("softmax", "Softmax", IMAGE, axis=1),
    case("softmax", "Softmax", IMAGE),
    case("softmax", "Softmax", (7,), opset=11),
    case("log_softmax", "LogSoftmax", IMAGE, axis=-2),
    case("dropout", "Dropout", IMAGE, number(0.3)),
    case("dropout", "Dropout", IMAGE, ratio=0.3, opset=10),
    case("mean", "ReduceMean", IMAGE, integers(2, 3)),
    case("mean", "ReduceMean", IMAGE, axes=[-1, 2], keepdims=0, opset=13),
    case("sum", "ReduceSum", IMAGE, integers(1), keepdims=0, opset=13),
    case("sum", "ReduceSum", IMAGE, axes=[1], opset=11),
    case("amax", "ReduceMax", IMAGE, integers(2)),
    case("amin", "ReduceMin", IMAGE, integers(2)),
    case("linalg_vector_norm", "ReduceL2", IMAGE, integers(2, 3)),
    case("linalg_vector_norm", "ReduceL1", IMAGE, integers(2, 3)),
    case("linalg_vector_norm pow", "ReduceSumSquare", IMAGE, integers(1)),
    case("max_pool2d", "MaxPool", IMAGE, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0]),
    case("max_pool2d", "MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, storage_order=1),
    case("max_pool2d", "MaxPool", IMAGE, kernel_shape=[2, 2], dilations=[2, 2]),
    case("pad max_pool2d", "MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    case("pad max_pool2d", "MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
    case("max_pool1d", "MaxPool", LINE, kernel_shape=[3]),
    case("max_pool3d", "MaxPool", VOLUME, kernel_shape=[2, 2, 2], strides=[1, 2, 2]),
    case("avg_pool2d", "AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    case("avg_pool2d", "AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    case("avg_pool2d", "AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    case("avg_pool2d", "AveragePool", IMAGE, kernel_shape=[2, 2], strides=[2, 2], auto_pad="VALID"),
    case("avg_pool2d", "AveragePool", (4, 7, 7), kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    case("pad avg_pool2d", "AveragePool", IMAGE, kernel_shape=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1),
    case("avg_pool1d", "AveragePool", LINE, kernel_shape=[3]),
    case("avg_pool3d", "AveragePool", VOLUME, kernel_shape=[2, 2, 2]),
    case("adaptive_avg_pool2d", "GlobalAveragePool", IMAGE),
    case("adaptive_avg_pool1d", "GlobalAveragePool", LINE),
    case("amax", "GlobalMaxPool", IMAGE),
    case("flatten", "Flatten", IMAGE),
    case("reshape", "Flatten", IMAGE, axis=2),
    case("flatten", "Reshape", IMAGE, integers(0, -1)),
    case("reshape", "Reshape", IMAGE, integers(-1, 2, 2, 9, 8)),
    case("reshape", "Reshape", IMAGE, integers(0, 2, -1, 8)),
    case("permute", "Transpose", IMAGE, perm=[0, 2, 3, 1]),
    case("unsqueeze unsqueeze", "Unsqueeze", IMAGE, integers(1, -1), opset=13),
    case("unsqueeze", "Unsqueeze", IMAGE, axes=[2], opset=11),
    case("squeeze", "Squeeze", (1, 4, 1), integers(1), opset=13),
    case("squeeze squeeze", "Squeeze", (1, 4, 1), axes=[1, -1], opset=11),
    case("slice", "Slice", IMAGE, integers(1), integers(3), integers(1)),
    case("slice slice", "Slice", IMAGE, integers(-5, 1), integers(2**62, 7), integers(2, 3), integers(1, 2)),
    case("slice", "Slice", IMAGE, starts=[0], ends=[-2], axes=[2], opset=9),
    case("select", "Gather", IMAGE, np.array(2), axis=2),
    case("slice", "Gather", IMAGE, integers(1, 2), axis=1),
    case("index_select", "Gather", IMAGE, integers(3, 0, 2), axis=1),
    case("expand", "Expand", (1, 4), integers(1, 3, 4)),
    case("repeat", "Tile", IMAGE, integers(1, 2, 1, 3)),
    case("pad", "Pad", IMAGE, integers(0, 0, 1, 2, 0, 0, 3, 4)),
    case("pad", "Pad", IMAGE, integers(0, 1, 0, 0, 0, 2, 0, 0), number(1.5)),
    case("pad", "Pad", IMAGE, integers(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"),
    case("pad", "Pad", IMAGE, integers(0, 0, 1, 2, 0, 0, 1, 0), mode="edge"),
    case("pad", "Pad", IMAGE, integers(1, 2), None, integers(3), opset=18),
    case("pad", "Pad", IMAGE, pads=[0, 0, 1, 1, 0, 0, 1, 1], value=2.0, opset=10),
    case("pad", "Pad", IMAGE, integers(0, 0, -1, 0, 0, 0, -2, 0)),
    case("pixel_shuffle", "DepthToSpace", (8, 3, 5), blocksize=2, mode="CRD"),
    case("reshape permute reshape", "DepthToSpace", (8, 3, 5), blocksize=2),
    case("pixel_shuffle", "DepthToSpace", (4, 3, 5), blocksize=2),
    case("reshape permute reshape", "SpaceToDepth", (3, 4, 6), blocksize=2),
    case("pixel_unshuffle", "SpaceToDepth", (1, 4, 6), blocksize=2),
    case("upsample_nearest2d", "Resize", IMAGE, None, floats(1, 1, 2, 3), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    case("upsample_nearest2d", "Resize", IMAGE, None, floats(1, 1, 2, 2)),
    case("_upsample_nearest_exact2d", "Resize", IMAGE, None, floats(1, 1, 1.5, 1.7), mode="nearest", nearest_mode="round_prefer_ceil", opset=19),
    case("upsample_bilinear2d", "Resize", IMAGE, None, floats(1, 1, 1.5, 1.7), mode="linear"),
    case("upsample_bilinear2d", "Resize", IMAGE, None, None, integers(5, 4), axes=[2, 3], mode="linear"),
    case("upsample_nearest2d", "Resize", IMAGE, floats(1, 1, 2, 2), opset=10),
    case("upsample_nearest2d", "Upsample", IMAGE, floats(1, 1, 2, 2), opset=9),
    case("upsample_bilinear2d", "Resize", IMAGE, None, floats(1, 1, 2, 2), mode="linear"),
    case("upsample_bilinear2d", "Resize", IMAGE, None, floats(1, 1, 2, 2), mode="linear", coordinate_transformation_mode="align_corners"),
case("upsample_bilinear2d", "Resize", (4, 8, 8), None, floats(1, 1, 0.5, 0.5), mode="linear", coordinate_transformation_mode="pytorch_half_pixel"),
    case("upsample_bicubic2d", "Resize", IMAGE, None, floats(1, 1, 2, 2), mode="cubic"),
    case("upsample_nearest1d", "Resize", LINE, None, floats(1, 1, 2)),
    case("upsample_nearest3d", "Resize", VOLUME, None, floats(1, 1, 2, 1, 2)),
    case("upsample_nearest2d", "Resize", IMAGE, None, floats(2, 2), axes=[2, 3]),
    case("silu", "Swish", IMAGE, opset=24),
    case("rms_norm", "RMSNormalization", (5, 4), positive(4), opset=23),
]  # fmt: skip

WITHOUT_ATTRIBUTES = {
    **{
        name: name.lower()
        for name in ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Mish", "Neg", "Reciprocal", "Relu")
    },
    **{name: name.lower() for name in ("Round", "Sigmoid", "Sign", "Sin", "Softplus", "Tanh", "HardSwish")},
    "Log": "log",
    "Sqrt": "sqrt",
}


@pytest.mark.parametrize(("operator", "shape", "stored", "options", "expected"), CASES)
def test_an_operator(
    operator: str, shape: tuple[int, ...], stored: Any, options: dict[str, Any], expected: list[str], tmp_path: Path
) -> None:
    trace = checked(single(operator, shape, stored, **options), tmp_path)
    assert [call.operation for call in trace.calls] == expected
    assert trace.input == shape


@pytest.mark.parametrize("operator", sorted(WITHOUT_ATTRIBUTES))
def test_an_operator_without_attributes(operator: str, tmp_path: Path) -> None:
    trace = checked(single(operator, IMAGE), tmp_path, positive_input=operator in {"Log", "Sqrt"})
    assert [call.operation for call in trace.calls] == [WITHOUT_ATTRIBUTES[operator]]


def test_every_translation_has_a_case() -> None:
    covered = {entry.values[0] for entry in CASES} | set(WITHOUT_ATTRIBUTES) | {"Cast", "Concat", "Identity", "Split"}
    assert covered >= set(TRANSLATIONS)


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"stored": [integers(1, 3)], "outputs": 2, "opset": 13, "axis": 1}, [1, 3]),
        ({"outputs": 3, "opset": 18, "axis": 2, "num_outputs": 3}, [3, 3, 3]),
        ({"outputs": 2, "opset": 18, "axis": -2, "num_outputs": 2}, [5, 4]),
        ({"outputs": 2, "opset": 11, "axis": 1, "split": [2, 2]}, [2, 2]),
    ],
)
def test_split(options: dict[str, Any], sizes: list[int], tmp_path: Path) -> None:
    trace = checked(single("Split", IMAGE, **options), tmp_path)
    assert [call.operation for call in trace.calls] == ["split_with_sizes", *["getitem"] * len(sizes)]
    assert trace.calls[0].arguments["split_sizes"] == sizes
    assert list(trace.outputs) == ["main", "output_1", "output_2"][: len(sizes)]


@pytest.mark.parametrize(
    ("operator", "expected"), [("Sub", ["rsub"]), ("Div", ["reciprocal", "mul"]), ("Pow", ["pow"]), ("Mul", ["mul"])]
)
def test_a_number_as_the_first_operand(operator: str, expected: list[str], tmp_path: Path) -> None:
    nodes = [helper.make_node("Constant", [], ["c"], value_float=2.5), helper.make_node(operator, ["c", "x"], ["y"])]
    trace = checked(model(nodes, ["n", *IMAGE]), tmp_path, positive_input=True)
    assert [call.operation for call in trace.calls] == expected


def test_concat_and_identity(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Relu", ["same"], ["relu"]),
        helper.make_node("Concat", ["x", "relu", "same"], ["y"], axis=-3),
    ]
    trace = checked(model(nodes, ["n", *IMAGE]), tmp_path)
    assert [call.operation for call in trace.calls] == ["relu", "cat"]
    assert trace.calls[1].arguments == {"tensors": [Ref(-1), Ref(0), Ref(-1)], "dim": 1}


def test_a_change_of_type(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["same"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Cast", ["same"], ["half"], to=onnx.TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    trace = checked(model(nodes, ["n", *IMAGE]), tmp_path)
    assert [(call.operation, call.arguments["dtype"]) for call in trace.calls] == [("to", "float16"), ("to", "float32")]


def test_local_response_norm_over_an_even_number_of_channels(tmp_path: Path) -> None:
    """ONNX Runtime takes odd numbers only. The reference evaluator of ONNX takes all, for as many samples as channels."""
    proto = single("LRN", IMAGE, size=2, alpha=0.5, beta=0.6, bias=1.5)
    images = torch.randn((IMAGE[0], *IMAGE), generator=torch.Generator().manual_seed(1))
    (wanted,) = onnx.reference.ReferenceEvaluator(proto).run(None, {"x": images.numpy()})
    trace = read_onnx(saved(proto, tmp_path))
    output = run(trace, images)["main"]
    torch.testing.assert_close(output, torch.from_numpy(wanted))
    assert "avg_pool3d" in [call.operation for call in trace.calls]  # torch's function begins one channel earlier


def test_attributes_are_the_shortest_decimal_numbers(tmp_path: Path) -> None:
    trace = checked(single("LayerNormalization", (5, 4), NORM[:2], epsilon=1e-6), tmp_path)
    assert trace.calls[0].arguments["eps"] == 1e-6
    assert checked(single("BatchNormalization", IMAGE, NORM), tmp_path).calls[0].arguments["momentum"] == 0.1
    assert checked(single("LeakyRelu", IMAGE, alpha=0.2), tmp_path).calls[0].arguments["negative_slope"] == 0.2


def test_stored_tensors_that_operators_compute_become_constants(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]),
        helper.make_node("Mul", ["t", "c"], ["scaled"]),
        helper.make_node("MatMul", ["x", "scaled"], ["y"]),
    ]
    trace = checked(model(nodes, ["n", 4], {"w": noise(6, 4), "c": number(0.5)}), tmp_path)
    assert [call.operation for call in trace.calls] == ["linear"]
    assert [tensor.shape for tensor in trace.tensors.values()] == [(6, 4)]


def test_functions_of_the_file_are_read_in_place(tmp_path: Path) -> None:
    body = [helper.make_node("Relu", ["a"], ["b"]), helper.make_node("LeakyRelu", ["b"], ["c"])]
    reference = body[1].attribute.add()
    reference.name, reference.ref_attr_name, reference.type = "alpha", "slope", onnx.AttributeProto.FLOAT
    function = helper.make_function("own", "act", ["a"], ["c"], body, [helper.make_opsetid("", 18)], ["slope"])
    nodes = [helper.make_node("act", ["x"], ["y"], domain="own", slope=0.5)]
    proto = model(nodes, ["n", *IMAGE], domains={"own": 1}, functions=[function])
    trace = checked(proto, tmp_path)
    assert [(call.operation, call.arguments.get("negative_slope")) for call in trace.calls] == [
        ("relu", None),
        ("leaky_relu", 0.5),
    ]
