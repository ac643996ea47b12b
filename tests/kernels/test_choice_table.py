"""The file of a card: kept choices, and files that are ignored."""

import json

import pytest

from resnext_dsl.kernels.choice_table import LARGEST_FILE, ChoiceTable, KernelChoice, table_path
from resnext_dsl.kernels.configurations import Configuration

CARD = {"name": "card", "torch": "1", "Triton": "2"}
OURS = KernelChoice(configuration=Configuration("rows", 16, 64, 4, 3), seconds=1e-4, torch_seconds=2e-4)
TORCHS = KernelChoice(configuration=None, seconds=3e-4, torch_seconds=2e-4)


def test_a_new_process_reads_what_was_kept(tmp_path):
    path = tmp_path / "deep" / "card.json"
    table = ChoiceTable(path, CARD)
    assert table.get("a") is None
    table.put("a", OURS)
    table.put("b", TORCHS)
    again = ChoiceTable(path, CARD)
    assert (again.get("a"), again.get("b"), again.get("c")) == (OURS, TORCHS, None)


def test_two_processes_keep_the_choices_of_both(tmp_path):
    path = tmp_path / "card.json"
    one, other = ChoiceTable(path, CARD), ChoiceTable(path, CARD)
    one.put("a", OURS)
    other.put("b", TORCHS)
    assert ChoiceTable(path, CARD).choices == {"a": OURS, "b": TORCHS}


@pytest.mark.parametrize("change", [{"name": "other"}, {"torch": "2"}, {"Triton": "3"}])
def test_a_table_of_another_card_or_version_is_ignored_and_written_anew(tmp_path, change):
    path = tmp_path / "card.json"
    ChoiceTable(path, CARD).put("a", OURS)
    table = ChoiceTable(path, CARD | change)
    assert table.choices == {}
    table.put("b", TORCHS)
    assert ChoiceTable(path, CARD | change).choices == {"b": TORCHS}
    assert ChoiceTable(path, CARD).choices == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 2, "card": {}, "choices": {}}',
        '{"format": 1, "card": {}, "choices": {"a": 1}}',
    ],
)
def test_a_file_that_cannot_be_read_is_ignored(tmp_path, text):
    path = tmp_path / "card.json"
    path.write_text(text)
    assert ChoiceTable(path, {}).choices == {}


def test_a_file_of_another_format_a_large_file_and_unknown_kernels_are_ignored(tmp_path):
    path = tmp_path / "card.json"
    ChoiceTable(path, CARD).put("a", OURS)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"format": 2}))
    assert ChoiceTable(path, CARD).choices == {}
    content["choices"]["a"]["configuration"]["kernel"] = "another"
    path.write_text(json.dumps(content))
    assert ChoiceTable(path, CARD).choices == {}
    path.write_text(path.read_text() + " " * LARGEST_FILE)
    assert ChoiceTable(path, CARD).choices == {}


def test_a_folder_that_cannot_be_written_gives_one_warning(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    table = ChoiceTable(blocked / "card.json", CARD)
    with pytest.warns(UserWarning, match=r"the kernel table .*card\.json cannot be written"):
        table.put("a", OURS)
    table.put("b", TORCHS)
    assert table.choices == {"a": OURS, "b": TORCHS}


def test_the_path_of_a_card(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("RESNEXT_DSL_CACHE", raising=False)
    name = "NVIDIA H100 80GB HBM3"
    assert table_path(name) == tmp_path / "home/.cache/resnext-dsl/kernels/nvidia-h100-80gb-hbm3.json"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert table_path(name).parent == tmp_path / "xdg/resnext-dsl/kernels"
    monkeypatch.setenv("RESNEXT_DSL_CACHE", str(tmp_path / "own"))
    assert table_path("../a/b").relative_to(tmp_path / "own").as_posix() == "kernels/a-b.json"
