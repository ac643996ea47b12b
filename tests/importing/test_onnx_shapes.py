"""Shapes that an ONNX file computes with operators: they are folded, and the batch stays open."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import helper
from onnx_models import floats, integers, model, noise, runtime_outputs, saved
from trace_oracle import run

import resnext_dsl as rx
from resnext_dsl.importing.onnx_trace import read_onnx
from resnext_dsl.importing.trace import BATCH, Trace


def checked(proto: onnx.ModelProto, folder: Path, batches: tuple[int, ...] = (1, 3)) -> Trace:
    path = saved(proto, folder)
    trace = read_onnx(path)
    for batch in batches:
        images = torch.randn((batch, *trace.input), generator=torch.Generator().manual_seed(batch))
        (wanted,) = runtime_outputs(path, images)
        torch.testing.assert_close(run(trace, images)["main"], wanted)
    return trace


def node(text: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(text, inputs.split(), [output], **attributes)


def test_a_reshape_by_the_sizes_of_its_input(tmp_path: Path) -> None:
    """The channel shuffle as torch's older exporter writes it."""
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "batch", axis=0),
        node("Gather", "shape one", "channels", axis=0),
        node("Div", "channels two", "half"),
        node("Unsqueeze", "batch axis", "batch1"),
        node("Unsqueeze", "half axis", "half1"),
        node("Concat", "batch1 twice half1 space", "apart", axis=0),
        node("Reshape", "x apart", "groups"),
        node("Transpose", "groups", "moved", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "moved shape", "y"),
    ]
    stored = {
        "zero": torch.tensor(0).numpy(),
        "one": torch.tensor(1).numpy(),
        "two": torch.tensor(2).numpy(),
        "axis": integers(0),
        "twice": integers(2),
        "space": integers(3, 5),
    }
    trace = checked(model(nodes, ["batch", 6, 3, 5], stored, opset=13), tmp_path)
    assert [call.operation for call in trace.calls] == ["reshape", "permute", "reshape"]
    assert trace.calls[0].arguments["shape"] == [-1, 2, 3, 3, 5]
    assert trace.calls[0].sizes == (BATCH, 2, 3, 3, 5)
    assert trace.calls[2].arguments["shape"] == [-1, 6, 3, 5]


def test_an_enlargement_to_the_size_of_another_value(tmp_path: Path) -> None:
    nodes = [
        node("MaxPool", "x", "small", kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", "x", "shape"),
        node("Slice", "shape two four axis", "space"),
        node("Shape", "small", "before"),
        node("Slice", "before axis two axis", "front"),
        node("Cast", "front", "front64", to=onnx.TensorProto.INT64),
        node("Concat", "front64 space", "sizes", axis=0),
        helper.make_node(
            "Resize",
            ["small", "", "", "sizes"],
            ["large"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        node("Add", "large x", "y"),
    ]
    stored = {"two": integers(2), "four": integers(4), "axis": integers(0)}
    trace = checked(model(nodes, ["batch", 3, 7, 8], stored, opset=13), tmp_path)
    assert [call.operation for call in trace.calls] == ["max_pool2d", "upsample_nearest2d", "add"]
    assert trace.calls[1].arguments == {
        "input": trace.calls[1].arguments["input"],
        "output_size": [7, 8],
        "scale_factors": None,
    }


def test_a_constant_that_is_repeated_for_each_sample(tmp_path: Path) -> None:
    nodes = [
        node("Shape", "x", "batch", start=0, end=1),
        node("Concat", "batch rest", "shape", axis=0),
        node("Expand", "token shape", "tokens"),
        node("Concat", "tokens x", "y", axis=1),
    ]
    stored = {"rest": integers(1, 4), "token": noise(1, 1, 4)}
    trace = checked(model(nodes, ["batch", 5, 4], stored, opset=15), tmp_path)
    assert [call.operation for call in trace.calls] == ["size", "expand", "cat"]
    assert trace.calls[2].sizes == (BATCH, 6, 4)


def test_the_condition_that_torch_writes_for_expand(tmp_path: Path) -> None:
    nodes = [
        node("ConstantOfShape", "rank", "ones", value=helper.make_tensor("", onnx.TensorProto.INT64, [1], [1])),
        node("Mul", "ones minus", "negative"),
        node("Equal", "asked negative", "open"),
        node("Where", "open ones asked", "shape"),
        node("Expand", "x shape", "y"),
    ]
    stored = {"rank": integers(3), "minus": integers(-1), "asked": integers(-1, 4, -1)}
    trace = checked(model(nodes, ["batch", 1, 5], stored, opset=13), tmp_path)
    assert [(call.operation, call.arguments["size"]) for call in trace.calls] == [("expand", [-1, 4, 5])]


def test_a_strided_view_in_order_is_a_reshape(tmp_path: Path) -> None:
    """torch's exporter writes the result of an adaptive pooling as a gather by computed indices."""
    nodes = [
        node("Reshape", "x flat", "all"),
        node("Shape", "x", "shape", start=0, end=1),
        node("Squeeze", "shape", "batch"),
        node("Range", "zero batch one", "samples"),
        node("Mul", "samples step", "first"),
        node("Unsqueeze", "first axes", "column"),
        node("Add", "column inner", "places"),
        node("Gather", "all places", "y"),
    ]
    stored = {
        "flat": integers(-1),
        "zero": torch.tensor(0).numpy(),
        "one": torch.tensor(1).numpy(),
        "step": torch.tensor(6).numpy(),
        "axes": integers(1, 2),
        "inner": torch.arange(6).reshape(1, 2, 3).numpy(),
    }
    trace = checked(model(nodes, ["batch", 6], stored, opset=18), tmp_path)
    assert [call.arguments["shape"] for call in trace.calls if call.operation == "reshape"] == [[-1, 2, 3]]
    stored["inner"] = torch.arange(6).reshape(1, 3, 2).transpose(1, 2).numpy()
    with pytest.raises(rx.ArchError, match="the operation `Gather` is a strided view that is no reshape"):
        read_onnx(saved(model(nodes, ["batch", 6], stored, opset=18), tmp_path))


def test_a_batch_that_the_file_fixes_is_read_as_any_batch(tmp_path: Path) -> None:
    nodes = [node("Reshape", "x shape", "apart"), node("Transpose", "apart", "y", perm=[0, 2, 1])]
    proto = model(nodes, [2, 6], {"shape": integers(2, 3, 2)}, opset=13)
    trace = checked(proto, tmp_path, batches=(2,))
    assert trace.notes == ("The file fixes the batch to 2; the reshapes to this size are read for any batch.",)
    assert run(trace, torch.zeros(5, 6))["main"].shape == (5, 2, 3)


def test_a_reshape_that_mixes_samples_is_refused(tmp_path: Path) -> None:
    nodes = [node("Reshape", "x shape", "y")]
    proto = model(nodes, ["batch", 6], {"shape": integers(12)}, opset=13)
    with pytest.raises(
        rx.ArchError, match=r"E624.*the operation `Reshape` reshapes to \[12\], which holds for one size"
    ):
        read_onnx(saved(proto, tmp_path))


def test_a_batch_norm_over_groups_of_samples(tmp_path: Path) -> None:
    """The first size is a multiple of the batch between two reshapes."""
    nodes = [
        node("Reshape", "x apart", "merged"),
        node("MaxPool", "merged", "small", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", "small back", "y"),
    ]
    stored = {"apart": integers(-1, 1, 4, 4), "back": integers(-1, 3, 2, 2)}
    trace = checked(model(nodes, ["batch", 3, 4, 4], stored), tmp_path)
    assert [call.sizes for call in trace.calls] == [None, None, (BATCH, 3, 2, 2)]


def test_scales_that_the_file_computes(tmp_path: Path) -> None:
    nodes = [
        node("Shape", "x", "shape"),
        node("Slice", "shape two four zero", "space"),
        node("Cast", "space", "numbers", to=onnx.TensorProto.FLOAT),
        node("Mul", "numbers double", "larger"),
        node("Cast", "larger", "whole", to=onnx.TensorProto.INT64),
        node("Slice", "shape zero two zero", "front"),
        node("Concat", "front whole", "sizes", axis=0),
        helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="linear"),
    ]
    nodes.insert(0, helper.make_node("Constant", [], ["double"], value_floats=[2.0, 2.0]))
    stored = {"two": integers(2), "four": integers(4), "zero": integers(0)}
    trace = checked(model(nodes, ["batch", 3, 5, 4], stored, opset=13), tmp_path)
    assert [call.arguments["scale_factors"] for call in trace.calls] == [[2.0, 2.0]]


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node("NonZero", "x", "y")], "`NonZero` has no translation"),
        (
            [node("Shape", "x", "s"), node("Add", "s s", "t"), node("Reshape", "x t", "y")],
            "computes with the size of the batch",
        ),
        ([node("Reshape", "x x", "y")], "`Reshape` computes its shape from the data"),
        ([node("Tile", "x many", "y")], r"`Tile` has the repeats \[70000"),
    ],
)
def test_shapes_that_are_refused(nodes: list[onnx.NodeProto], reason: str, tmp_path: Path) -> None:
    proto = model(nodes, ["batch", 6], {"many": integers(70000, 70000), "half": floats(0.5)}, opset=13)
    with pytest.raises(rx.ArchError, match=reason):
        read_onnx(saved(proto, tmp_path))


@pytest.mark.parametrize(("size", "expected"), [(5, "relu"), (6, "neg")])
def test_a_condition_on_shapes_chooses_its_branch(size: int, expected: str, tmp_path: Path) -> None:
    branches = {
        name: helper.make_graph(
            [node(operator, "x", output)],
            name,
            [],
            [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)],
        )
        for name, operator, output in (("then_branch", "Relu", "a"), ("else_branch", "Neg", "b"))
    }
    nodes = [
        node("Shape", "x", "shape", start=1),
        node("Equal", "shape five", "same"),
        helper.make_node("If", ["same"], ["y"], **branches),
    ]
    trace = checked(model(nodes, ["batch", size], {"five": integers(5)}), tmp_path)
    assert [call.operation for call in trace.calls] == [expected]


def test_a_condition_on_data_is_refused(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [node("Relu", "x", "a")], "g", [], [helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, None)]
    )
    nodes = [
        node("ReduceMax", "x", "largest", keepdims=0),
        helper.make_node("If", ["largest"], ["y"], then_branch=branch, else_branch=branch),
    ]
    with pytest.raises(rx.ArchError, match="the operation `If` decides by the data"):
        read_onnx(saved(model(nodes, ["batch", 4]), tmp_path))
