"""Medians, spread and ratios of a bench, against numpy."""

from __future__ import annotations

import json

import numpy
import pytest

from resnext_dsl.bench.result_table import LeftOut, Report, Timed, notes, print_report, spread
from resnext_dsl.bench.variants import BenchSubject, Conditions, Variant

OURS = BenchSubject("", "small", (3, 8, 8), "small.arch")
PEER = BenchSubject("torchvision", "small", (3, 8, 8), peer=True)
MACHINE = {"processor": "P", "device": "D", "system": "Linux x86_64", "python": "3.11.7", "resnext_dsl": "0.1.0"}


def timed(subject: BenchSubject, backend: str, *rounds: tuple[float, ...]) -> Timed:
    return Timed(Variant(subject, backend), rounds, 123_000_000, {"torch": "2.13.0"})


@pytest.fixture
def report() -> Report:
    rows = (
        timed(PEER, "eager", (0.2, 0.2, 0.4), (0.3, 0.1), (0.2, 0.5, 0.8)),
        timed(OURS, "eager", (0.1, 0.1, 0.1), (0.3, 0.3), (0.4, 0.5, 0.6)),
        timed(PEER, "openvino", (0.05,), (0.05,), (0.05,)),
        timed(OURS, "openvino", (0.04,), (0.05,), (0.06,)),
    )
    return Report(Conditions(batch=4, threads=2), MACHINE, rows, (LeftOut("aoti", "not here"),))


def test_a_spread_is_that_of_numpy() -> None:
    values = numpy.random.default_rng(0).random(101)
    low, median, high = numpy.quantile(values, [0.25, 0.5, 0.75])
    assert spread(values.tolist()) == pytest.approx((median, low, high))
    assert spread([2.0]) == (2.0, 2.0, 2.0)


def test_ratios_are_those_of_rounds(report: Report) -> None:
    peer, ours = report.timed[:2]
    medians = numpy.array([[numpy.median(times) for times in row.rounds] for row in (ours, peer)])
    assert ours.ratio(peer).median == pytest.approx(numpy.median(medians[0] / medians[1]))
    assert ours.ratio(peer) == pytest.approx((1.0, 0.75, 1.25))
    assert peer.ratio(peer) == (1.0, 1.0, 1.0)


def test_pairs_are_of_one_backend_ours_first(report: Report) -> None:
    labels = [(one.variant.label, other.variant.label) for one, other in report.pairs()]
    assert labels == [
        ("small on eager", "small of torchvision on eager"),
        ("small on openvino", "small of torchvision on openvino"),
    ]


def test_pairs_are_of_one_layout(report: Report) -> None:
    rows = [
        row._replace(variant=row.variant._replace(layout=layout))
        for layout in ("contiguous", "channels_last")
        for row in report.timed[:2]
    ]
    found = [(one.variant.layout, other.variant.layout) for one, other in report._replace(timed=tuple(rows)).pairs()]
    assert found == [("contiguous", "contiguous"), ("channels_last", "channels_last")]
    both = report._replace(timed=tuple(rows), conditions=report.conditions._replace(layout="both"))
    assert "small on eager, channels_last: 1.000 of the time of small of torchvision (0.750 to 1.250)" in notes(both)


def test_a_gpu_has_queued_runs_and_its_settings(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    ours = report.timed[1]._replace(queued=(0.04, 0.02, 0.08))
    ours = ours._replace(variant=ours.variant._replace(layout="channels_last"))
    line = "TF32 convolutions on, TF32 products off, cudnn.benchmark off, cuDNN 91900"
    gpu = report._replace(timed=(report.timed[0], ours), machine=MACHINE | {"settings": line})
    rows = gpu.to_json()["variants"]
    assert [(row["layout"], row["queued_throughput"]) for row in rows] == [(None, None), ("channels_last", 100.0)]
    assert line in notes(gpu)
    print_report(gpu)
    assert " 100 " in capsys.readouterr().out


def test_json_has_every_figure(report: Report) -> None:
    answer = json.loads(json.dumps(report.to_json()))
    assert answer["machine"]["threads"] == 2
    assert answer["machine"]["versions"] == {"torch": "2.13.0"}
    row = answer["variants"][1]
    assert (row["library"], row["form"], row["backend"], row["runs"]) == ("resnext-dsl", "fastest", "eager", 8)
    assert row["latency"]["median"] == pytest.approx(0.3)
    assert row["throughput"] == pytest.approx(4 / 0.3)
    assert row["peak_memory"] == 123_000_000
    assert row["rounds"] == [0.1, 0.3, 0.5]
    assert answer["variants"][0]["form"] is None
    assert answer["left_out"] == [{"name": "aoti", "reason": "not here"}]


def test_the_table_says_on_what_it_was_measured(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report)
    out = capsys.readouterr().out
    assert [line.split()[:3] for line in out.splitlines() if "ms" in line][1] == ["small", "eager", "-"]
    assert "per second, queued" not in " ".join(out.split())
    assert "inference, batch 4, float32, on D, 2 threads, Linux x86_64" in out
    assert "torch 2.13.0, Python 3.11.7, resnext-dsl 0.1.0" in out
    assert "small on openvino: 1.000 of the time of small of torchvision (0.900 to 1.100)" in out
    assert notes(report)[-1] == "not timed: aoti: not here"
