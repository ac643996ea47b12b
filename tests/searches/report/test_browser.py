"""Reports in a real browser: every chart is drawn, every result is a mark, nothing is said, nothing is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_results import made
from test_document import evil

from resnext_dsl.searches import Found
from resnext_dsl.searches.report.rows import metrics_of, rows_of
from resnext_dsl.searches.report.sections import sections_of

RESULT, BAR, LINE = ".mark-symbol.role-mark path", ".mark-rect.role-mark path", ".mark-line.role-mark path"


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Any:
    """Opens the report of a search, and holds what holds for every page; gives the browser."""

    def shown(found: Found) -> Any:
        from selenium.webdriver.support.ui import WebDriverWait

        path = found.report(tmp_path / "report.html")
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(path.as_uri())
        if found.trials:
            drawn = "return document.documentElement.dataset.drawn"
            WebDriverWait(browser, 60).until(lambda page: page.execute_script(drawn) == "yes")
        assert browser.get_log("browser") == []
        assert asked_for(browser) == {path.as_uri()}
        assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
        expected = [
            figure for section in sections_of(found)[0] for figure in section.figures if figure.chart is not None
        ]
        charts = browser.find_elements("css selector", ".chart")
        assert len(charts) == len(expected)
        for chart in charts:
            (drawing,) = chart.find_elements("css selector", "svg.marks")
            assert drawing.size["width"] > 300
            assert drawing.size["height"] > 60
        return browser

    return shown


def asked_for(browser: Any) -> set[str]:
    """The addresses that were asked for, the browser's own pages and what stands in the page itself left out."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return {url for url in sent if not url.startswith(("chrome:", "data:"))}


def counts(browser: Any, selector: str) -> list[int]:
    charts = browser.find_elements("css selector", ".chart")
    return [len(chart.find_elements("css selector", selector)) for chart in charts]


def test_every_result_is_a_mark(show: Any, tmp_path: Path) -> None:
    found = made(tmp_path, 60, failures=("why",))
    page = show(found)
    #                     front, two histories, two importances, the distribution
    assert counts(page, RESULT) == [60, 60, 60, 0, 0, 0]
    assert counts(page, BAR) == [0, 0, 0, 4, 4, 0]
    assert counts(page, LINE) == [1, 1, 1, 0, 0, 3]
    front = page.find_elements("css selector", ".chart")[0]
    diamonds = front.find_elements("css selector", '.mark-symbol.role-mark path[fill="#e0632b"]')
    assert len(diamonds) == len(found.front)
    legends = [text.text for text in front.find_elements("css selector", ".role-legend-label text")]
    assert legends == ["front", "other results"]
    bars = page.find_elements("css selector", ".chart")[3].find_elements("css selector", ".role-axis-label text")
    assert {"width", "deep", "more", "act"} <= {bar.text for bar in bars}


def test_marks_stand_where_their_values_are(show: Any, tmp_path: Path) -> None:
    found = made(tmp_path, 25, minimize=())
    page = show(found)
    script = """
        const marks = [...document.querySelectorAll(".chart")[1].querySelectorAll(".mark-symbol.role-mark path")];
        return marks.map((mark) => [mark.getCTM().e, mark.getCTM().f]);
    """
    places = page.execute_script(script)
    rows = rows_of(found, metrics_of(found))
    ordered = sorted(rows, key=lambda row: row["m0"])
    by_height = sorted(zip(rows, places, strict=True), key=lambda pair: -pair[1][1])
    assert [row["m0"] for row, _ in by_height] == pytest.approx([row["m0"] for row in ordered])
    assert [x for x, _ in places] == sorted(x for x, _ in places)


def test_a_point_tells_its_trial_and_its_flags(show: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    found = made(tmp_path, 3)
    page = show(found)
    mark = page.find_element("css selector", '.mark-symbol.role-mark path[fill="#e0632b"]')
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", mark)
    ActionChains(page).move_to_element(mark).perform()
    WebDriverWait(page, 20).until(lambda p: p.find_elements("css selector", "#vg-tooltip-element.visible"))
    words = page.find_element("css selector", "#vg-tooltip-element").text
    (trial,) = [trial for trial in found.front if f"{trial.metrics['flops']:,}" in words]
    assert words.split()[:3] == ["trial", str(trial.number), "flags"]
    assert str(trial.candidate) in words


def test_the_table_lists_the_front_and_takes_the_keyboard(show: Any, tmp_path: Path) -> None:
    found = made(tmp_path, 60)
    page = show(found)
    rows = page.find_elements("css selector", "section table tbody tr")
    assert len(rows) == len(found.front)
    for row, trial in zip(rows, found.front, strict=True):
        assert row.find_element("css selector", "th[scope=row]").text == str(trial.number)
        assert row.find_element("css selector", "code").text == str(trial.candidate)
    region = page.find_element("css selector", ".table")
    region.send_keys("")
    assert page.switch_to.active_element == region


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_result(show: Any, tmp_path: Path, count: int) -> None:
    page = show(made(tmp_path, count))
    assert counts(page, RESULT) == [1, 1, 1, 0][: 4 * count]


def test_results_that_are_all_the_same(show: Any, tmp_path: Path) -> None:
    page = show(made(tmp_path, 12, lambda c, n: {"accuracy": 0.5}, minimize=()))
    assert counts(page, RESULT) == [12, 12, 0]
    labels = page.find_elements("css selector", ".chart")[1].find_elements("css selector", ".role-axis-label text")
    assert "0.50" in [label.text for label in labels]


def test_three_objectives(show: Any, tmp_path: Path) -> None:
    page = show(made(tmp_path, 30, lambda c, n: {"a": n % 7, "b": n % 5}, ("a", "b"), ("flops",)))
    assert counts(page, RESULT) == [30] * 6 + [0] * 4
    assert counts(page, LINE) == [0] * 3 + [1] * 3 + [0] * 3 + [3]


@pytest.mark.slow
def test_two_thousand_results(show: Any, tmp_path: Path) -> None:
    page = show(made(tmp_path, 2000))
    assert counts(page, RESULT) == [2000, 2000, 2000, 0, 0, 0]


def test_texts_of_others_are_shown_and_do_nothing(show: Any, tmp_path: Path) -> None:
    page = show(evil(tmp_path))
    assert counts(page, RESULT)[0] == 30
    assert page.execute_script("return window.hacked") is None
    assert "window.hacked=1" in page.find_element("css selector", "dl").text


def test_what_gets_past_the_escaping_is_refused_all_the_same(browser: Any, tmp_path: Path) -> None:
    text = made(tmp_path, 3).report(tmp_path / "report.html").read_text(encoding="utf-8")
    worse = tmp_path / "worse.html"
    worse.write_text(text.replace("<header>", "<header><script>window.hacked = 1</script>"), encoding="utf-8")
    browser.get(worse.as_uri())
    assert browser.execute_script("return window.hacked") is None
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_in_light_and_in_dark(show: Any, tmp_path: Path, scheme: str) -> None:
    page = show(made(tmp_path, 30))
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    script = """
        const colour = (selector, what) => getComputedStyle(document.querySelector(selector))[what];
        return [colour("section", "backgroundColor"), colour(".chart svg .role-axis-label text", "fill"),
                colour("dt", "color"), colour("code", "color")];
    """
    ground, *texts = ([int(part) for part in rgb[4:-1].split(",")] for rgb in page.execute_script(script))
    assert (luminance(ground) > 0.5) == (scheme == "light")
    for text in texts:
        low, high = sorted((luminance(ground), luminance(text)))
        assert (high + 0.05) / (low + 0.05) > 4.5  # WCAG 2.2, 1.4.3


def luminance(rgb: list[int]) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [part / 255 / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in rgb]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
