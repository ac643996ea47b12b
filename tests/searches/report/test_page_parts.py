"""The parts of the page of a report, each on made results: titles, scales, times, the kind of a front."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

import pytest
from made_results import made

from resnext_dsl.searches.report.charts import _scale, _title
from resnext_dsl.searches.report.distribution import _any
from resnext_dsl.searches.report.rows import Metric
from resnext_dsl.searches.report.sections import _times, sections_of


def test_titles_that_vega_treats_specially_get_a_word_more() -> None:
    assert [_title(name) for name in ("title", "image", "flops")] == ["title (metric)", "image (metric)", "flops"]


def test_one_value_lies_in_the_middle_of_its_scale() -> None:
    metric = Metric("m0", "accuracy", "maximize")
    for rows in ([{"m0": 3.0}], [{"m0": None}, {"m0": 3.0}, {"m0": 3.0}]):
        assert _scale(rows, metric).to_dict()["domain"] == pytest.approx([2.7, 3.3])
    assert _scale([{"m0": 0.0}], metric).to_dict()["domain"] == [-1, 1]
    assert "domain" not in _scale([{"m0": 3.0}, {"m0": 4.0}], metric).to_dict()


def test_one_number_among_missing_ones_is_enough_for_a_distribution() -> None:
    assert _any([math.nan, 0.5])
    assert not _any([math.nan, math.inf])
    assert not _any([])


def test_results_without_a_time_do_not_count_in_the_times(tmp_path: Path) -> None:
    found = made(tmp_path, 3)
    first, second, third = found.trials
    early, late = datetime.datetime(2026, 1, 1, 12, 0, 5), datetime.datetime(2026, 1, 1, 13, 0, 0)
    trials = [first._replace(finished=late), second._replace(finished=None), third._replace(finished=early)]
    times = dict(_times(found._replace(trials=trials)))
    assert times["first result"] == "2026-01-01 12:00:05"
    assert times["last result"] == "2026-01-01 13:00:00"
    assert _times(found._replace(trials=[second._replace(finished=None)])) == []


@pytest.mark.parametrize(("minimize", "title"), [(("flops",), True), ((), False)])
def test_one_objective_has_no_front(minimize: tuple[str, ...], title: bool, tmp_path: Path) -> None:
    sections, _ = sections_of(made(tmp_path, 4, minimize=minimize))
    assert (sections[0].title == "The front") is title
