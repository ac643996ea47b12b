"""Archives that are truncated, changed or hostile: each gives one clear error, and none runs or takes memory."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from import_examples import changed, entries_of, packed, tiny_archive

import resnext_dsl as rx
from resnext_dsl.importing.archive_file import MAX_DIRECTORY_BYTES, MAX_JSON_BYTES
from resnext_dsl.importing.archive_trace import read_archive

GRAPH = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
REFUSALS = {"E621", "E622", "E623", "E624"}
CONSTANTS = "data/constants/model_constants_config.json"


def read_whole(path: Path) -> None:
    """Reads a file and its tensors."""
    trace = read_archive(path)
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
    content = tiny_archive()
    path = tmp_path / "cut.pt2"
    for length in [*range(1, 64), *range(64, len(content), 997), *range(len(content) - 40, len(content))]:
        path.write_bytes(content[:length])
        assert problem(path).code in {"E621", "E622"}
    path.write_bytes(content)
    assert codes(path) == set()


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=8))
def test_bytes_that_are_changed(folder: Path, changes: list[tuple[int, int]]) -> None:
    content = bytearray(tiny_archive())
    for place, byte in changes:
        content[place % len(content)] = byte
    path = folder / "bytes.pt2"
    path.write_bytes(content)
    assert codes(path) <= REFUSALS


@given(st.data())
def test_values_of_the_graph_that_are_changed(folder: Path, data: st.DataObject) -> None:
    """A value of another type anywhere in the text of the graph or of the weights."""
    entries = entries_of(tiny_archive())
    name = data.draw(st.sampled_from([GRAPH, WEIGHTS, CONSTANTS]))
    content = json.loads(entries[name])
    owner: Any = content
    while True:
        keys = list(owner) if isinstance(owner, dict) else list(range(len(owner)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if not isinstance(owner[key], dict | list) or data.draw(st.integers(0, 4)) == 0:
            break
        owner = owner[key]
    owner[key] = data.draw(st.sampled_from([None, -1, 1 << 70, 2.5, "", "..", [], {}, [None], {"as_int": -3}, True]))
    path = packed({**entries, name: json.dumps(content).encode()}, folder / "values.pt2")
    assert codes(path) <= REFUSALS


def replaced(**entries: bytes | None) -> Callable[[Path], Path]:
    """An archive with other entries; None leaves one out. `__` in a name stands for `/`, and `_dot_` for `.`."""

    def build(path: Path) -> Path:
        new = {name.replace("__", "/").replace("_dot_", "."): content for name, content in entries.items()}
        kept = {**entries_of(tiny_archive()), **new}
        return packed({name: content for name, content in kept.items() if content is not None}, path)

    return build


def graph(change: Callable[[Any], None]) -> Callable[[Path], Path]:
    return lambda path: changed(path, GRAPH, change)


def weights(change: Callable[[Any], None]) -> Callable[[Path], Path]:
    return lambda path: changed(path, WEIGHTS, lambda content: change(content["config"]["head.weight"]))


def bare(path: Path) -> Path:
    path.write_bytes(b"not an archive")
    return path


def compressed(path: Path) -> Path:
    return packed(entries_of(tiny_archive()), path, compression=zipfile.ZIP_DEFLATED)


def outside(path: Path) -> Path:
    return packed({**entries_of(tiny_archive()), "../../etc/passwd": b"x"}, path)


def absolute(path: Path) -> Path:
    packed(entries_of(tiny_archive()), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("/etc/passwd", b"x")
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
def twice(path: Path) -> Path:
    packed(entries_of(tiny_archive()), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("tiny/archive_version", b"0")
    return path


def huge_directory(path: Path) -> Path:
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, MAX_DIRECTORY_BYTES + 1, 4, 0)
    path.write_bytes(b"PK\x03\x04" + end)
    return path


def from_torch_2_5(path: Path) -> Path:
    entries = {"serialized_exported_program.json": b"{}", "serialized_state_dict.pt": b"\x80", "version": b"8.7"}
    return packed(entries, path, root="archive")


def of_inductor(path: Path) -> Path:
    entries = {"archive_format": b"pt2", "archive_version": b"0", "data/aotinductor/model/x.so": b"\x7fELF"}
    return packed(entries, path)


def pickled_weight(payload: dict[str, Any]) -> None:
    payload["use_pickle"] = True


def far(payload: dict[str, Any]) -> None:
    payload["tensor_meta"]["storage_offset"]["as_int"] = 1


def repeated(payload: dict[str, Any]) -> None:
    payload["tensor_meta"]["sizes"] = [{"as_int": 1 << 30}, {"as_int": 1 << 30}]
    payload["tensor_meta"]["strides"] = [{"as_int": 0}, {"as_int": 0}]


def two_inputs(content: Any) -> None:
    content["graph_module"]["signature"]["input_specs"].append({"user_input": {"arg": {"as_tensor": {"name": "x"}}}})


def no_outputs(content: Any) -> None:
    content["graph_module"]["signature"]["output_specs"] = []


def an_object(content: Any) -> None:
    content["graph_module"]["signature"]["input_specs"].insert(0, {"custom_obj": {"arg": {"name": "o"}}})


def integers_in(content: Any) -> None:
    content["graph_module"]["graph"]["tensor_values"]["x"]["dtype"] = 5


def open_height(content: Any) -> None:
    symbol = {"as_expr": {"expr_str": "Symbol('s9', positive=True, integer=True)", "hint": None}}
    content["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][2] = symbol


def many_nodes(content: Any) -> None:
    content["graph_module"]["graph"]["nodes"] = [None] * 100_001


def torchscript_object(path: Path) -> Path:
    def change(content: Any) -> None:
        (name,) = content["config"]
        content["config"][name]["path_name"] = "custom_obj_0"

    return changed(path, CONSTANTS, change)


def up_and_out(payload: dict[str, Any]) -> None:
    payload["path_name"] = "weight_../../secret"


@pytest.mark.parametrize(
    ("build", "code", "message"),
    [
        (bare, "E622", "it is not an archive of torch.export"),
        (compressed, "E622", "is compressed or encrypted, and torch compresses none"),
        (outside, "E623", "the entry `tiny/../../etc/passwd` lies outside the folder of the archive"),
        (absolute, "E623", "the entry `/etc/passwd` lies outside the folder of the archive"),
        (twice, "E621", "the archive has the entry `archive_version` twice"),
        (huge_directory, "E621", "its directory has 16777217 bytes; at most 16777216 are read"),
        (from_torch_2_5, "E622", "torch 2.7 or an earlier version wrote it, with pickled weights"),
        (of_inductor, "E622", "it is a package of AOTInductor, which has compiled code and no graph"),
        (replaced(archive_version=b"1"), "E622", "its layout has version b'1', and version b'0' is read"),
        (replaced(archive_version=b"0" * 100), "E621", "the entry `archive_version` has 100 bytes; at most 64 are read"),
        (replaced(archive_format=b"pt3"), "E622", "its format is b'pt3'"),
        (replaced(archive_format=None), "E622", "it has no format"),
        (replaced(byteorder=b"big"), "E622", "its numbers are not little-endian"),
        (replaced(models__other_dot_json=b"{}"), "E622", "it has 2 models, and one is read"),
        (replaced(models__model_dot_json=b"{"), "E621", "the entry `models/model.json` is not valid JSON"),
        (replaced(models__model_dot_json=b"[" * 100_000), "E621", "the entry `models/model.json` is not valid JSON"),
        (replaced(models__model_dot_json=b"[]"), "E621", "the entry `models/model.json` is not an object of JSON"),
        (replaced(models__model_dot_json=b" " * (MAX_JSON_BYTES + 1)), "E621", "bytes; at most 33554432 are read"),
        (replaced(data__weights__weight_0=None), "E621", "the weight `stem.0.weight` of shape [6, 3, 3, 3] does not fit"),
        (replaced(data__weights__weight_0=b"1234"), "E621", "does not fit its entry `weight_0`"),
        (graph(lambda content: content["schema_version"].update(major=9)), "E622", "its graph has version 9.20"),
        (graph(lambda content: content.pop("graph_module")), "E621", "its graph is not written as torch writes it"),
        (graph(two_inputs), "E622", "the network has 2 inputs, and one is read"),
        (graph(no_outputs), "E622", "the network has no output"),
        (graph(an_object), "E622", "its graph has an argument of kind `custom_obj`"),
        (graph(integers_in), "E621", "the input of the network is not a tensor of floating-point numbers"),
        (graph(open_height), "E622", "the input has the sizes [3, 's9', 8] after the batch, and only the batch may vary"),
        (graph(many_nodes), "E621", "its graph has more than 100000 operations"),
        (weights(pickled_weight), "E623", "the weight `head.weight` is pickled, and reading it would run code"),
        (weights(far), "E621", "the weight `head.weight` of shape [5, 6] does not fit its entry"),
        (weights(repeated), "E621", "the weight `head.weight` of shape [1073741824, 1073741824] does not fit its entry"),
        (weights(up_and_out), "E623", "the weight `head.weight` names the entry `weight_../../secret`"),
        (torchscript_object, "E623", "is pickled, and reading it would run code"),
    ],
)  # fmt: skip
def test_a_file_that_is_refused(build: Callable[[Path], Path], code: str, message: str, tmp_path: Path) -> None:
    if build is twice:
        with pytest.warns(UserWarning, match="Duplicate name"):
            path = build(tmp_path / "tiny.pt2")
    else:
        path = build(tmp_path / "tiny.pt2")
    diagnostic = problem(path)
    assert diagnostic.code == code
    assert message in diagnostic.message


def test_a_checkpoint_is_no_archive(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, buffer)
    path = tmp_path / "model.pt2"
    path.write_bytes(buffer.getvalue())
    diagnostic = problem(path)
    assert (diagnostic.code, diagnostic.message) == ("E622", "the model is not read: it has no format")
    assert diagnostic.hint == "save it again with `torch.export.save` of torch 2.9 or later"


def test_another_shape_than_that_of_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "tiny.pt2"
    path.write_bytes(tiny_archive())
    assert read_archive(path, (3, 8, 8)).input == (3, 8, 8)
    with pytest.raises(rx.ArchError, match="its input is 3x8x8, not 3x9x9"):
        read_archive(path, (3, 9, 9))
