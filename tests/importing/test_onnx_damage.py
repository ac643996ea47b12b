"""ONNX files that are truncated, changed or hostile: each gives one clear error, and none runs or takes memory."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_models import integers, model, noise, positive, saved

import resnext_dsl as rx
from resnext_dsl.importing import onnx_file
from resnext_dsl.importing.onnx_trace import read_onnx
from resnext_dsl.importing.onnx_wire import MAX_FIELDS, MAX_STRUCTURE_BYTES

REFUSALS = {"E621", "E622", "E623", "E624"}


@cache
def small() -> onnx.ModelProto:
    """A convolution, a norm, a reshape by a computed shape and a linear layer."""
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["a"], pads=[1, 1, 1, 1], name="/conv/Conv"),
        helper.make_node("BatchNormalization", ["a", "n.weight", "n.bias", "n.mean", "n.var"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Shape", ["d"], ["shape"], start=0, end=2),
        helper.make_node("Reshape", ["d", "shape"], ["e"]),
        helper.make_node("Gemm", ["e", "fc.weight", "fc.bias"], ["y"], transB=1),
    ]
    stored = {
        "conv.weight": noise(4, 3, 3, 3),
        "conv.bias": noise(4),
        "n.weight": positive(4),
        "n.bias": noise(4),
        "n.mean": noise(4),
        "n.var": positive(4),
        "fc.weight": noise(5, 4),
        "fc.bias": noise(5),
    }
    return model(nodes, ["batch", 3, 8, 8], stored)


def read_whole(path: Path) -> None:
    """Reads a file and its tensors."""
    trace = read_onnx(path)
    for key in trace.tensors:
        trace.value(key)


def problem(path: Path) -> rx.Diagnostic:
    """The one error of a file."""
    with pytest.raises(rx.ArchError) as caught:
        read_whole(path)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.file == str(path)
    return diagnostic


def codes(path: Path) -> set[str]:
    """The codes of the errors of a file; no other exception leaves the reader."""
    try:
        read_whole(path)
    except rx.ArchError as error:
        return {diagnostic.code for diagnostic in error.diagnostics}
    return set()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changed")


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    content = small().SerializeToString()
    path = tmp_path / "cut.onnx"
    for length in range(1, len(content), 7):
        path.write_bytes(content[:length])
        assert problem(path).code in {"E621", "E622"}
    path.write_bytes(content)
    assert codes(path) == set()


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=8))
def test_bytes_that_are_changed(folder: Path, changes: list[tuple[int, int]]) -> None:
    content = bytearray(small().SerializeToString())
    for place, byte in changes:
        content[place % len(content)] = byte
    path = folder / "bytes.onnx"
    path.write_bytes(content)
    assert codes(path) <= REFUSALS


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model(folder: Path, content: bytes) -> None:
    path = folder / "noise.onnx"
    path.write_bytes(content)
    assert codes(path) <= REFUSALS


NUMBERS = st.sampled_from([-(1 << 63), -(1 << 31), -3, -1, 0, 1, 2, 7, 1 << 15, 1 << 31, (1 << 63) - 1])


@given(st.data())
def test_numbers_of_operators_that_are_changed(folder: Path, data: st.DataObject) -> None:
    """Sizes, pads, strides and shapes of any value never lead to another exception, or to much memory."""
    operator, names = data.draw(
        st.sampled_from(
            [
                ("Conv", ("pads", "strides", "dilations", "kernel_shape", "group")),
                ("MaxPool", ("kernel_shape", "pads", "strides", "ceil_mode")),
                ("AveragePool", ("kernel_shape", "pads", "strides", "count_include_pad", "ceil_mode")),
                ("Transpose", ("perm",)),
                ("Flatten", ("axis",)),
                ("DepthToSpace", ("blocksize",)),
                ("Softmax", ("axis",)),
                ("LRN", ("size",)),
                ("GroupNormalization", ("num_groups",)),
            ]
        )
    )
    lists = {"pads", "strides", "dilations", "kernel_shape", "perm"}
    options: dict[str, Any] = {
        name: data.draw(st.lists(NUMBERS, max_size=5) if name in lists else NUMBERS)
        for name in data.draw(st.lists(st.sampled_from(names), unique=True))
    }
    inputs = {"Conv": ["x", "w"], "GroupNormalization": ["x", "s", "s"]}.get(operator, ["x"])
    nodes = [
        helper.make_node(operator, inputs, ["y"], **{name: value for name, value in options.items() if value != []})
    ]
    path = saved(model(nodes, ["batch", 4, 8, 8], {"w": noise(4, 4, 3, 3), "s": noise(4)}, opset=18), folder)
    assert codes(path) <= REFUSALS


@given(
    st.sampled_from(["Reshape", "Expand", "Tile", "Pad", "Slice", "Resize", "Split", "Unsqueeze"]),
    st.lists(NUMBERS, min_size=1, max_size=9),
)
def test_known_numbers_that_are_changed(folder: Path, operator: str, numbers: list[int]) -> None:
    inputs = {"Slice": ["x", "n", "n", "n"], "Resize": ["x", "", "", "n"]}.get(operator, ["x", "n"])
    outputs = ["y", "z"] if operator == "Split" else ["y"]
    path = saved(
        model([helper.make_node(operator, inputs, outputs)], ["batch", 4, 8, 8], {"n": integers(*numbers)}), folder
    )
    assert codes(path) <= REFUSALS


def edited(change: Callable[[onnx.ModelProto], None]) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    proto.CopyFrom(small())
    change(proto)
    return proto


def tensor(change: Callable[[TensorProto], None]) -> onnx.ModelProto:
    return edited(lambda proto: change(proto.graph.initializer[0]))


def second_input(proto: onnx.ModelProto) -> None:
    proto.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))


def of_type(number: int) -> Callable[[onnx.ModelProto], None]:
    return lambda proto: setattr(proto.graph.input[0].type.tensor_type, "elem_type", number)


def unsorted(proto: onnx.ModelProto) -> None:
    nodes = [*proto.graph.node][::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def doubled(proto: onnx.ModelProto) -> None:
    proto.graph.initializer.append(proto.graph.initializer[0])


def named_twice(proto: onnx.ModelProto) -> None:
    proto.graph.node[1].output[0] = "a"


def recursive(proto: onnx.ModelProto) -> None:
    body = [helper.make_node("f", ["a"], ["b"], domain="own")]
    proto.functions.append(helper.make_function("own", "f", ["a"], ["b"], body, [helper.make_opsetid("own", 1)]))
    proto.graph.node.append(helper.make_node("f", ["x"], ["z"], domain="own"))


def exponential(proto: onnx.ModelProto) -> None:
    opsets = [helper.make_opsetid("own", 1), helper.make_opsetid("", 18)]
    for level in range(15):
        inner, domain = (f"f{level + 1}", "own") if level < 14 else ("Relu", "")
        names = [f"v{index}" for index in range(9)]
        body = [helper.make_node(inner, [a], [b], domain=domain) for a, b in itertools.pairwise(names)]
        proto.functions.append(helper.make_function("own", f"f{level}", ["v0"], ["v8"], body, opsets))
    proto.graph.node.append(helper.make_node("f0", ["x"], ["z"], domain="own"))


def constant_output(proto: onnx.ModelProto) -> None:
    proto.graph.output[0].name = "fc.bias"


@pytest.mark.parametrize(
    ("proto", "code", "message"),
    [
        (lambda: edited(second_input), "E622", "the network has 2 inputs, and one is read: `x`, `z`"),
        (lambda: edited(lambda p: p.graph.input.pop()), "E622", "the network has 0 inputs"),
        (lambda: edited(of_type(TensorProto.UINT8)), "E622", "the input `x` is not a tensor of floating-point numbers"),
        (lambda: edited(lambda p: p.graph.output.pop()), "E622", "the network has no output"),
        (lambda: edited(constant_output), "E622", "the output `fc.bias` does not depend on the input"),
        (lambda: edited(lambda p: setattr(p.graph.output[0], "name", "q")), "E621", "no operator gives the output `q`"),
        (lambda: edited(lambda p: setattr(p.opset_import[0], "version", 99)), "E622", "its operators have version 99; versions 7 to 25"),
        (lambda: edited(lambda p: setattr(p.opset_import[0], "version", 6)), "E622", "its operators have version 6"),
        (lambda: edited(lambda p: p.opset_import.pop()), "E622", "its operators have version 0"),
        (lambda: edited(unsorted), "E621", "an operator reads `e`, which no operator before it gives"),
        (lambda: edited(doubled), "E621", "it has the tensor `conv.weight` twice"),
        (lambda: edited(named_twice), "E621", "two operators give `a`"),
        (lambda: edited(recursive), "E621", "its functions call each other more than 16 deep (`own.f`)"),
        (lambda: edited(exponential), "E621", "its functions give more than 20000 operators"),
        (lambda: edited(lambda p: p.training_info.add()), "E622", "it has sparse tensors, quantized tensors or steps of training"),
        (lambda: tensor(lambda t: t.dims.append(2)), "E621", "the tensor `conv.weight` of shape [4, 3, 3, 3, 2] has 432 bytes instead of 864"),
        (lambda: tensor(lambda t: t.dims.append(1 << 62)), "E621", "would have"),
        (lambda: tensor(lambda t: t.dims.append(-1)), "E621", "the tensor `conv.weight` has the shape"),
        (lambda: tensor(lambda t: setattr(t, "data_type", 8)), "E621", "has numbers of type 8, which is not read"),
        (lambda: tensor(lambda t: setattr(t, "data_type", 11)), "E621", "has 432 bytes instead of 864"),
        (lambda: tensor(lambda t: t.segment.SetInParent()), "E621", "is a segment of a tensor"),
    ],
)  # fmt: skip
def test_a_model_that_is_refused(proto: Callable[[], onnx.ModelProto], code: str, message: str, tmp_path: Path) -> None:
    diagnostic = problem(saved(proto(), tmp_path))
    assert diagnostic.code == code
    assert message in diagnostic.message


def test_structure_is_bounded_before_it_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator of two bytes takes a hundred bytes of memory."""

    def forbidden(*_: object) -> None:
        raise AssertionError("the file is parsed")

    path = tmp_path / "many.onnx"
    for content, message in (
        (b"\x0a\x00" * (MAX_FIELDS + 1), f"it has more than {MAX_FIELDS} fields"),
        (b"\x52" + varint(MAX_STRUCTURE_BYTES) + bytes(MAX_STRUCTURE_BYTES), f"more than {MAX_STRUCTURE_BYTES} bytes"),
    ):
        path.write_bytes(b"\x3a" + varint(len(content)) + content)
        monkeypatch.setattr(onnx, "ModelProto", forbidden)
        assert message in problem(path).message


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def external(path: Path, **entries: str) -> Path:
    """The small model whose first tensor lies in another file."""

    def move(stored: TensorProto) -> None:
        stored.ClearField("raw_data")
        stored.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            stored.external_data.add(key=key, value=value)

    return saved(tensor(move), path)


def test_a_tensor_in_a_file_beside_the_model(tmp_path: Path) -> None:
    raw = small().graph.initializer[0].raw_data
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.bin").write_bytes(b"1234" + raw)
    path = external(tmp_path, location="weights/a.bin", offset="4", length=str(len(raw)), checksum="0")
    value = read_onnx(path).value("conv.weight")
    assert np.array_equal(value.numpy(), numpy_helper.to_array(small().graph.initializer[0]))
    (tmp_path / "weights" / "a.bin").write_bytes(b"")
    trace_error = problem(path)
    assert "of 432 bytes does not fit `weights/a.bin`" in trace_error.message


@pytest.mark.parametrize(
    ("entries", "code", "message"),
    [
        ({"location": "../secret.bin"}, "E623", "the tensor `conv.weight` lies in `../secret.bin`, outside the folder"),
        ({"location": "a/../../secret.bin"}, "E623", "outside the folder of the file"),
        ({"location": "/etc/passwd"}, "E623", "the tensor `conv.weight` lies in `/etc/passwd`, outside the folder"),
        ({"location": "..\\secret.bin"}, "E623", "outside the folder of the file"),
        ({"location": "C:\\secret.bin"}, "E623", "outside the folder of the file"),
        ({"location": "link.bin"}, "E623", "lies in `link.bin`, outside the folder of the file"),
        ({"location": "linked/secret.bin"}, "E623", "lies in `linked/secret.bin`, outside the folder of the file"),
        ({}, "E623", "lies in ``, outside the folder of the file"),
        ({"location": "none.bin"}, "E621", "lies in `none.bin`, and there is no such file"),
        ({"location": "."}, "E621", "lies in `.`, and there is no such file"),
        ({"location": "short.bin"}, "E621", "of 432 bytes does not fit `short.bin`"),
        ({"location": "long.bin", "offset": "69"}, "E621", "of 432 bytes does not fit `long.bin`"),
        ({"location": "long.bin", "offset": "-4"}, "E621", "has no place in a file that can be read"),
        ({"location": "long.bin", "offset": "9" * 40}, "E621", "has no place in a file that can be read"),
        ({"location": "long.bin", "length": "400"}, "E621", "of 432 bytes does not fit `long.bin`"),
        ({"location": "long.bin", "length": str(1 << 40)}, "E621", "of 432 bytes does not fit `long.bin`"),
    ],
)  # fmt: skip
def test_a_tensor_in_another_file_that_is_refused(
    entries: dict[str, str], code: str, message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(500))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "short.bin").write_bytes(bytes(400))
    (folder / "long.bin").write_bytes(bytes(500))
    diagnostic = problem(external(folder, **entries))
    assert diagnostic.code == code
    assert message in diagnostic.message


def test_numbers_that_do_not_fit_their_type(tmp_path: Path) -> None:
    stored = helper.make_tensor("scale", TensorProto.FLOAT16, [2], [1.0, 2.0])
    stored.ClearField("raw_data")
    stored.int32_data[:] = [0x3C00, 0x1_0000]
    proto = edited(lambda p: p.graph.initializer.append(stored))
    assert "the tensor `scale` has numbers that are out of range" in problem(saved(proto, tmp_path)).message
    stored.int32_data[:] = [0x3C00, 0xC000]
    node = helper.make_node("Mul", ["x", "scale"], ["y"])
    half = model([node], ["batch", 2])
    half.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    half.graph.initializer.append(stored)
    trace = read_onnx(saved(half, tmp_path))
    assert trace.value("scale").tolist() == [1.0, -2.0]
    assert trace.value("scale").dtype.itemsize == 2


def test_other_domains_are_listed_with_every_operator(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("FusedConv", ["x", "w"], ["a"], domain="com.microsoft", name="first"),
        helper.make_node("QuantizeLinear", ["a", "s"], ["b"], name="quantize"),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("FusedConv", ["c", "w"], ["d"], domain="com.microsoft", name="second"),
        helper.make_node("NonZero", ["d"], ["y"]),
    ]
    stored = {"w": noise(3, 3, 1, 1), "s": noise(1)}
    path = saved(model(nodes, ["n", 3, 4, 4], stored, domains={"com.microsoft": 1}), tmp_path)
    with pytest.raises(rx.ArchError, match="E624") as caught:
        read_onnx(path)
    assert [diagnostic.message for diagnostic in caught.value.diagnostics] == [
        "the operation `com.microsoft.FusedConv` is not one of the standard operators of ONNX; it is used at `first` and 1 more times",
        "the operation `QuantizeLinear` has no translation; it is used at `quantize`",
        "the operation `NonZero` has no translation",
    ]


@pytest.mark.parametrize(
    ("sizes", "asked", "message"),
    [
        (["n", 3, None, None], None, "the input `x` is 3x?x? after the batch"),
        (["n", 3, "h", "w"], (4, 8, 8), "the input `x` is 3x?x?, not 4x8x8"),
        (["n", 3, 8, 8], (3, 8), "the input `x` is 3x8x8, not 3x8"),
        (["n", 0, 8, 8], None, "the input `x` is 0x8x8"),
        ([], None, "the input `x` has no shape"),
    ],
)
def test_an_input_without_a_shape(sizes: list[Any], asked: Any, message: str, tmp_path: Path) -> None:
    path = saved(model([helper.make_node("Relu", ["x"], ["y"])], sizes), tmp_path)
    with pytest.raises(rx.ArchError, match="E622") as caught:
        read_onnx(path, asked)
    assert message in caught.value.diagnostics[0].message


def test_the_shape_completes_an_open_input(tmp_path: Path) -> None:
    path = saved(model([helper.make_node("Relu", ["x"], ["y"])], ["n", 3, "h", "w"]), tmp_path)
    assert read_onnx(path, (3, 6, 7)).calls[0].sizes == ("batch", 3, 6, 7)


def test_the_library_is_named_if_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(small(), tmp_path)
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    diagnostic = problem(path)
    assert (diagnostic.code, diagnostic.message) == ("E605", "`onnx` is not installed; reading an ONNX file needs it")
    assert diagnostic.hint == "install it: pip install 'resnext-dsl[export]'"


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "pipe.onnx"
    os.mkfifo(path)
    assert problem(path).message == "the model cannot be read: it is not a regular file"
