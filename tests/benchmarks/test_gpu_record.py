"""Result files of `python -m benchmarks.gpu`: whole lines at any time, and the tables made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu.__main__ import main
from benchmarks.gpu.record import LEFT_OUT, NOT_OK, OK, Line, Record, counts, markdown, read
from benchmarks.gpu.table import tables

HEADER = {"kind": "header", "command": "truth", "dry": False, "began": "2026-01-02T03:04:05+00:00"}
ENVIRONMENT = {"kind": "environment", "values": {"device": "Card 9000"}, "differs": {"torch.AcceleratorError": "there"}}


def written(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def test_a_line_is_printed_with_its_state_and_figure() -> None:
    assert Line("seeds", "one seed", OK, "0.1").text() == "seeds: one seed | ok | 0.1"
    assert Line("seeds", "one seed", NOT_OK).text() == "seeds: one seed | not ok"


def test_a_line_has_one_of_three_states() -> None:
    with pytest.raises(ValueError, match=r"^`state` must be one of ok, not ok, left out; found 'fine'$"):
        Line("seeds", "one seed", "fine")


def test_a_record_is_readable_after_every_entry(tmp_path: Path) -> None:
    record = Record(tmp_path / "deep" / "truth.jsonl")
    entries = [HEADER, ENVIRONMENT, Line("seeds", "one seed", OK).entry()]
    for count, entry in enumerate(entries, 1):
        record.append(entry)
        assert read(record.path) == entries[:count]
    record.close()
    assert "| seeds | one seed | ok |  |" in record.path.with_suffix(".md").read_text()


def test_a_record_without_entries_leaves_no_file(tmp_path: Path) -> None:
    record = Record(tmp_path / "truth.jsonl")
    record.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [1, 20])
def test_a_last_line_that_was_cut_off_is_ignored(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path / "truth.jsonl", HEADER, ENVIRONMENT, Line("seeds", "one seed", OK).entry())
    path.write_bytes(path.read_bytes()[: -1 - cut])
    assert read(path) == [HEADER, ENVIRONMENT]


def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text(json.dumps(HEADER) + "\n{\n" + json.dumps(ENVIRONMENT) + "\n")
    with pytest.raises(ValueError, match=r"truth\.jsonl:2: this line is not JSON$"):
        read(path)


@pytest.mark.parametrize("text", ["", "{}\n", "[]\n", '{"kind": "line"}\n'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"other\.jsonl: this is no result file of `python -m benchmarks.gpu`$"):
        read(path)


def test_the_markdown_has_environment_lines_and_the_reason_of_the_end(tmp_path: Path) -> None:
    end = {"kind": "end", "status": 0, "reason": "its time was over", "missing": ["export"]}
    lines = [
        Line("seeds", "a | b", OK, "1.0").entry() | {"seconds": 2.5},
        Line("export", "all", LEFT_OUT, "not reached").entry(),
    ]
    text = markdown(read(written(tmp_path / "truth.jsonl", HEADER, ENVIRONMENT, *lines, end)))
    assert text.splitlines() == [
        "`python -m benchmarks.gpu truth`, 2026-01-02T03:04:05+00:00",
        "",
        "- device: Card 9000",
        "- torch.AcceleratorError: there",
        "- its time was over",
        "",
        "| part | what | ok or not | s | figure |",
        "|---|---|---|---:|---|",
        "| seeds | a \\| b | ok | 2.5 | 1.0 |",
        "| export | all | left out |  | not reached |",
    ]
    assert counts(lines) == "1 ok, 0 not ok, 1 left out"


def test_a_run_that_was_cut_off_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "truth.jsonl", HEADER, ENVIRONMENT)
    assert "- the run was cut off: the lines below are those that it had written" in markdown(read(path))


MEASURED = [
    {
        "kind": "measurement",
        "part": "floors",
        "what": "floors",
        "table": "floors",
        "copy_bytes": 10**9,
        "copy": [0.002, 0.001],
        "product_rows": 1000,
        "product": [0.00001, 0.00002],
    },
    {
        "kind": "measurement",
        "part": "networks",
        "what": "resnet50, train, batch 128",
        "table": "networks",
        "network": "resnet50",
        "mode": "train",
        "batch": 128,
        "variant": "peer, contiguous",
        "peer": "torchvision",
        "layout": "contiguous",
        "seconds": {"median": 0.1, "low": 0.09, "high": 0.11},
        "ratio": {"median": 1.25, "low": 1.2, "high": 1.3},
    },
    *(
        {
            "kind": "measurement",
            "part": "layers",
            "what": "128 -> 128 in 32 groups at 56x56",
            "table": "layers",
            "batch": 128,
            "direction": "forward",
            "layout": layout,
            "seconds": {"median": seconds, "low": 0, "high": 1},
            "floor_bytes": 50e-6,
            "floor_flops": 20e-6,
        }
        for layout, seconds in (("channels_last", 100e-6), ("contiguous", 400e-6))
    ),
]


def test_the_tables_of_tax_show_times_ratios_and_floors(tmp_path: Path) -> None:
    header = HEADER | {"command": "tax"}
    failed = Line("networks", "resnet101, train, batch 128", NOT_OK, "OutOfMemoryError").entry()
    passed = Line("networks", "resnet50, train, batch 128", OK, "told in the table").entry()
    text = tables(read(written(tmp_path / "tax.jsonl", header, ENVIRONMENT, *MEASURED, passed, failed)))
    assert "A copy reads and writes 2000 GB/s; a product in bf16 does 200 TFLOP/s." in text
    assert "| resnet50 | train | 128 | torchvision, contiguous | contiguous | 100.00 | 1.250 (1.200 to 1.300) |" in text
    assert "| 128 -> 128 in 32 groups at 56x56 | 128 | forward | 50.0 | 20.0 | 100.0 | 2.0 | 400.0 | 8.0 |" in text
    assert "| networks | resnet101, train, batch 128 | not ok |  | OutOfMemoryError |" in text
    assert "told in the table" not in text


def test_table_prints_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "truth.jsonl", HEADER, ENVIRONMENT, Line("seeds", "one seed", OK, "1").entry())
    assert main(["table", str(path)]) == 0
    assert "| seeds | one seed | ok |  | 1 |" in capsys.readouterr().out


def test_table_refuses_a_dry_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "truth.jsonl", HEADER | {"dry": True}, ENVIRONMENT)
    assert main(["table", str(path)]) == 2
    assert capsys.readouterr().err == "benchmarks.gpu: this is the file of a dry run: it has no figures\n"
