"""Exported files hold the network: read by the programs that they are for, they give its outputs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from export_examples import NETWORKS, SUFFIX, read_back
from torch import Tensor, nn

import resnext_dsl as rx
from resnext_dsl.cli.export import To
from resnext_dsl.export import TARGETS, targets
from resnext_dsl.export.interface import outputs_of, signature_of
from resnext_dsl.export.onnx import OPSET
from resnext_dsl.export.write import Written
from resnext_dsl.foundation import atomic as output

ROOT = Path(__file__).parent.parent.parent
QUICK = {
    "onnx": {"plain", "lists", "windows", "clip", "aux", "repeated"},
    "openvino": {"plain", "lists", "windows", "signal", "outputs", "nothing"},
    "aoti": set(),
}
"""The networks of the tests that are not slow, where a target takes seconds; together they are all networks."""

EXPORTS = [
    pytest.param(target, name, marks=() if name in QUICK.get(target, NETWORKS) else pytest.mark.slow)
    for target, names in (("pt2", NETWORKS), ("onnx", NETWORKS), ("openvino", NETWORKS), ("aoti", ["outputs"]))
    for name in names
]
GREY = """network grey {
    input image: 1x8x8
    conv(4, 3x3) as a
    output side from a { conv(4, 1x1) }
    relu; flatten; linear(10)
}
"""


def test_the_table_is_complete() -> None:
    assert [to.value for to in To] == list(TARGETS) == list(SUFFIX)
    for target in TARGETS.values():
        module = target._module()
        assert callable(module.write)
        assert callable(module.read)
        assert target.suffix == SUFFIX[target.name]


def eager(network: rx.Network, images: Tensor, **options: object) -> dict[str, Tensor]:
    model = network.compile(mode="inference", **options)  # type: ignore[arg-type]
    with torch.no_grad():
        return dict(zip(signature_of(network.ir).outputs, outputs_of(model(images)), strict=True))


@pytest.mark.parametrize(("target", "name"), EXPORTS)
def test_a_file_gives_the_outputs_of_the_module(target: str, name: str, tmp_path: Path) -> None:
    network = rx.loads(NETWORKS[name])
    written = network.export(target, tmp_path / f"m{SUFFIX[target]}", seed=3)
    assert written.agreement.batches == (1, 3)
    assert written.agreement.difference <= 1e-5
    assert sorted(written.files) == sorted(tmp_path.iterdir())
    images = torch.randn(5, *network.ir.nodes[0].shape)
    expected, found = eager(network, images, seed=3), read_back(target, written.files[0], images.clone())
    if target in ("onnx", "openvino"):
        assert list(found) == list(expected)
    for theirs, ours in zip(found.values(), expected.values(), strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


def exported_package(network: rx.Network, path: Path) -> Written:
    """A package for any batch that gives the outputs of the module."""
    shape = network.ir.nodes[0].shape
    assert shape[0] == 1
    written = network.export("aoti", path, seed=3)
    assert written.agreement.batches == (1, 3)
    assert written.agreement.difference <= 1e-5
    assert list(written.files) == list(path.parent.iterdir())
    for batch in (1, 2, 5):
        images = torch.randn(batch, *shape)
        expected, found = eager(network, images, seed=3), read_back("aoti", written.files[0], images.clone())
        for theirs, ours in zip(found.values(), expected.values(), strict=True):
            torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
    return written


@pytest.mark.slow
def test_the_printed_lines_of_a_package_are_a_program(tmp_path: Path) -> None:
    written = exported_package(rx.loads(GREY), tmp_path / "m.pt2")
    shape, wrong = "tuple(outputs[1].shape)", "images.mT.contiguous().mT"
    hold_snippet(written.snippet, "torch.ones(2, 1, 8, 8)", shape, wrong)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        ("examples/digits.arch", {"depth": 1, "channels": 8, "width": 4}),
        ("examples/families.arch", {}),
        ("unet", {"resolution": 64, "channels": 4}),
    ],
    ids=["digits", "families", "unet"],
)
def test_packages_of_the_networks_for_one_channel(spec: str, settings: dict[str, object], tmp_path: Path) -> None:
    path = ROOT / spec
    exported_package(rx.load(path if path.exists() else spec, **settings), tmp_path / "m.pt2")


def hold_checks(path: Path, images: Tensor, expected: Tensor, refused: list[Tensor]) -> None:
    """A package gives the expected main output, and refuses other images; the environment stays as it was."""
    from resnext_dsl.export.aoti import CHECKS, loaded

    run = loaded(path, "cpu")
    torch.testing.assert_close(outputs_of(run(images))[0], expected, rtol=1e-4, atol=1e-5)
    assert CHECKS not in os.environ
    for wrong in refused:
        with pytest.raises(RuntimeError):
            run(wrong)


def hold_snippet(snippet: str, images: str, shape: str, refused: str) -> None:
    """The printed lines run in a program of their own, which refuses other images."""
    program = f"import os, torch\nimages = {images}\n{snippet}\nprint({shape})\nnetwork({refused})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "(2, 4, 8, 8)\n"
    assert done.returncode != 0
    assert "RuntimeError" in done.stderr


def test_a_package_of_any_batch_for_one_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AOTI_RUNTIME_CHECK_INPUTS", raising=False)
    network = rx.loads(GREY)
    written = exported_package(network, tmp_path / "m.pt2")
    images = torch.randn(2, 1, 8, 8)
    across = images.mT.contiguous().mT  # rows and columns in the other order in memory
    refused = [across, torch.randn(2, 1, 8, 9), images.double()]
    expected = eager(network, images, seed=3)
    hold_checks(tmp_path / "m.pt2", images, expected["main"], refused)
    names = {"os": os, "torch": torch, "images": images}
    monkeypatch.setenv("AOTI_RUNTIME_CHECK_INPUTS", "0")
    exec(written.snippet, names)
    torch.testing.assert_close(list(names["outputs"]), list(expected.values()), rtol=1e-4, atol=1e-5)
    assert os.environ["AOTI_RUNTIME_CHECK_INPUTS"] == "1"


@pytest.mark.slow
def test_a_package_of_one_batch_checks_its_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AOTI_RUNTIME_CHECK_INPUTS", raising=False)
    network = rx.loads("network n { input image: 3x8x8; conv(4, 3x3); relu; conv(4, 3x3) }")
    written = network.export("aoti", tmp_path / "m.pt2", batch=2)
    images = torch.randn(2, 3, 8, 8)
    turned = images.contiguous(memory_format=torch.channels_last)
    (expected,) = eager(network, images, seed=0).values()
    hold_checks(tmp_path / "m.pt2", images, expected, [turned, torch.randn(3, 3, 8, 8), images.double()])
    wrong = "images.contiguous(memory_format=torch.channels_last)"
    hold_snippet(written.snippet, "torch.ones(2, 3, 8, 8)", "tuple(outputs.shape)", wrong)


@pytest.mark.parametrize("target", ["pt2", "onnx", "openvino"])
def test_one_batch_size_is_the_only_one_that_such_a_file_takes(target: str, tmp_path: Path) -> None:
    network = rx.loads(NETWORKS["plain"])
    written = network.export(target, tmp_path / f"m{SUFFIX[target]}", batch=4)
    assert written.agreement.batches == (4, 4)
    assert len(read_back(target, written.files[0], torch.zeros(4, 3, 16, 16))) == 1
    with pytest.raises(Exception, match=r"(?i)shape|dimension|expected|guard|compatible"):
        read_back(target, written.files[0], torch.zeros(3, 3, 16, 16))


@pytest.mark.parametrize(("target", "dtype"), [("pt2", "float64"), ("pt2", "bfloat16"), ("openvino", "float16")])
def test_weights_are_stored_in_the_type_that_is_asked_for(target: str, dtype: str, tmp_path: Path) -> None:
    network = rx.loads("network n { input image: 3x8x8; conv(64, 3x3); relu; conv(64, 3x3) }")
    sizes = {}
    for kind in ("float32", dtype):
        written = network.export(target, tmp_path / f"{kind}{SUFFIX[target]}", dtype=kind)
        sizes[kind] = max(file.stat().st_size for file in written.files)
    ratio = sizes[dtype] / sizes["float32"]
    assert ratio == pytest.approx({"float64": 2, "bfloat16": 0.5, "float16": 0.5}[dtype], rel=0.2)


def test_onnx_is_checked_by_its_own_checker(tmp_path: Path) -> None:
    import onnx

    network = rx.loads(NETWORKS["outputs"])
    network.export("onnx", tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import if not entry.domain] == [("", OPSET)]
    (taken,) = model.graph.input
    sizes = [size.dim_param or size.dim_value for size in taken.type.tensor_type.shape.dim]
    assert (taken.name, sizes) == ("image", ["batch", 3, 8, 8])
    assert [output.name for output in model.graph.output] == ["main", "side"]


def test_source_is_that_of_the_compiled_module(tmp_path: Path) -> None:
    network = rx.loads(NETWORKS["outputs"])
    written = network.export("py", tmp_path / "m.py")
    assert (tmp_path / "m.py").read_text() == network.emit()
    assert written.agreement.difference == 0


def test_weights_go_along(tmp_path: Path) -> None:
    network = rx.loads(NETWORKS["plain"])
    state = network.compile(seed=11).state_dict()
    network.export("onnx", tmp_path / "m.onnx", weights=state)
    images = torch.randn(2, 3, 16, 16)
    found = read_back("onnx", tmp_path / "m.onnx", images)["main"]
    torch.testing.assert_close(found, eager(network, images, weights=state)["main"], rtol=1e-4, atol=1e-5)


def test_files_that_were_there_are_replaced_as_one(tmp_path: Path) -> None:
    network = rx.loads(NETWORKS["vector"])
    network.export("openvino", tmp_path / "m.xml", seed=1)
    before = (tmp_path / "m.bin").read_bytes()
    network.export("openvino", tmp_path / "m.xml", seed=2)
    assert (tmp_path / "m.bin").read_bytes() != before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.bin", "m.xml"]


# --- what goes wrong: one error, and nothing written ---


def refused(folder: Path, text: str, target: str, path: Path, message: str, code: str, **options: object) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(rx.ArchError, match=re.escape(message)) as caught:
        rx.loads(text).export(target, path, **options)  # type: ignore[arg-type]
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("target", "file", "message", "code", "options"),
    [
        ("onx", "m.onnx", "unknown target `onx`", "E705", {}),
        ("onnx", "m.xml", "the name of a file for `onnx` (ONNX) must end in `.onnx`", "E704", {}),
        ("onnx", "missing/m.onnx", "the file cannot be written: no such file or directory", "E704", {}),
        ("onnx", "folder.onnx", "the file cannot be written: is a directory", "E704", {}),
        ("onnx", "m.onnx", "`onnx` (ONNX) cannot be written in `float64`", "E705", {"dtype": "float64"}),
        ("pt2", "m.pt2", 'the batch must be "dynamic" or an int of at least 1; found 0', "E705", {"batch": 0}),
        ("pt2", "m.pt2", 'the batch must be "dynamic" or an int of at least 1; found True', "E705", {"batch": True}),
        (
            "py",
            "m.py",
            "`py` (PyTorch source) stores no weights, so `dtype` does not apply",
            "E705",
            {"dtype": "float32"},
        ),
        ("py", "m.py", "stores no weights, so `weights` does not apply", "E705", {"weights": "some.pth"}),
        ("pt2", "m.pt2", "the weights in `missing.pth` cannot be read", "E702", {"weights": "missing.pth"}),
        ("pt2", "m.pt2", "fc.weight", "E701", {"weights": {"fc.weight": torch.zeros(3, 3)}}),
    ],
)
def test_what_cannot_be_written_is_one_error(
    target: str, file: str, message: str, code: str, options: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "folder.onnx").mkdir()
    refused(tmp_path, NETWORKS["plain"], target, tmp_path / file, message, code, **options)


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(output.tempfile, "mkdtemp", refuses)  # to root every folder opens
    refused(tmp_path, NETWORKS["vector"], "pt2", tmp_path / "m.pt2", "permission denied", "E704")


@pytest.mark.filterwarnings("ignore:.*W912:resnext_dsl.WeightsWarning")  # the checkpoint is warned of too
def test_numbers_that_are_not_finite_cannot_be_compared(tmp_path: Path) -> None:
    text = "network n { input x: 4; linear(4) }"
    state = {"linear.weight": torch.full((4, 4), torch.inf), "linear.bias": torch.zeros(4)}
    refused(tmp_path, text, "pt2", tmp_path / "m.pt2", "outputs for normal noise are not finite", "E705", weights=state)


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_a_backend_that_is_not_installed(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = targets.find_spec
    missing = TARGETS[target].needs[-1]
    monkeypatch.setattr(targets, "find_spec", lambda name: None if name == missing else found(name))
    path = tmp_path / f"m{SUFFIX[target]}"
    refused(tmp_path, NETWORKS["vector"], target, path, f"`{missing}` is not installed", "E605")
    with pytest.raises(rx.ArchError, match=r"pip install 'resnext-dsl\[export\]'"):
        rx.loads(NETWORKS["vector"]).export(target, path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda outputs: (outputs[0] * 1.01, outputs[1]), "outputs differ by 1.0e-02 of their largest value"),
        (lambda outputs: outputs[:1], "the file has 1 outputs, the network 2"),
        (
            lambda outputs: (outputs[0], outputs[1][:, :1]),
            "an output is float32 1x1x8x8; the network outputs float32 1x2x8x8",
        ),
        (
            lambda outputs: (outputs[0].double(), outputs[1]),
            "an output is float64 1x10; the network outputs float32 1x10",
        ),
        (lambda outputs: (outputs[0] * torch.nan, outputs[1]), "an output is not finite"),
        (lambda outputs: (outputs[0], outputs[1] + torch.inf), "an output is not finite"),
    ],
)
def test_a_file_that_computes_something_else_is_not_kept(
    wrong: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resnext_dsl.export import pt2

    read = pt2.read

    def misread(path: Path, signature: object, model: nn.Module) -> object:
        run = read(path, signature, model)  # type: ignore[arg-type]
        return lambda images: wrong(run(images))  # type: ignore[operator]

    monkeypatch.setattr(pt2, "read", misread)
    refused(tmp_path, NETWORKS["outputs"], "pt2", tmp_path / "m.pt2", message, "E802")


def test_a_backend_that_fails_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resnext_dsl.export import pt2

    def fails(*_: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(pt2, "write", fails)
    message = "the network cannot be written for `pt2` (torch.export archive): RuntimeError: first line"
    refused(tmp_path, NETWORKS["vector"], "pt2", tmp_path / "m.pt2", message, "E705")


def test_the_spec_itself_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "net.arch").write_text(NETWORKS["vector"])
    with pytest.raises(rx.ArchError, match="the output file is the spec itself"):
        rx.load(tmp_path / "net.arch").export("py", tmp_path / "net.arch")
    assert (tmp_path / "net.arch").read_text() == NETWORKS["vector"]


def test_backends_are_asked_not_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "before")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    with targets.without_telemetry():
        assert os.environ["CI"] == "true"
        assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert os.environ["CI"] == "before"
    assert "ORT_DISABLE_TELEMETRY" not in os.environ
