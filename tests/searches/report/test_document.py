"""Reports: their numbers against Optuna, SciPy and brute force, what they say, what they refuse, and the command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import search_evaluators
from made_results import best, made
from search_specs import SPACE
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app
from resnext_dsl.searches import Found, read
from resnext_dsl.searches.preselection import STAGES
from resnext_dsl.searches.report.charts import front_chart
from resnext_dsl.searches.report.distribution import ALL, distribution_of, steps_of
from resnext_dsl.searches.report.document import page
from resnext_dsl.searches.report.importance import importance
from resnext_dsl.searches.report.rows import metrics_of, pairs_of, rows_of
from resnext_dsl.searches.report.sections import facts_of, sections_of, standing_of

HERE = Path(__file__).parent.parent  # where the evaluators of the tests are


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A spec in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(HERE)
    (tmp_path / "space.arch").write_text(SPACE)
    return "space.arch"


def searched(spec: str, **more: Any) -> Found:
    given = {"evaluator": search_evaluators.accuracy, "maximize": "accuracy", "minimize": "flops", "budget": "small"}
    return rx.search(spec, **{**given, "trials": 6, **more})


class Page(HTMLParser):
    """The elements of a page, its texts, and its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: dict[str, str] = {}
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._script = dict(attrs).get("id") or "" if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        elif self.elements and self.elements[-1][0] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


# --- the numbers ---


def test_the_front_is_marked_as_comparing_each_with_each_has_it(tmp_path: Path) -> None:
    found = made(tmp_path, 300)
    rows = rows_of(found, metrics_of(found))
    assert {row["trial"] for row in rows if row["front"]} == {trial.number for trial in best(found.plan, found.trials)}
    assert [row["order"] for row in rows] == list(range(1, 301))


@pytest.mark.parametrize("maximize", [("accuracy",), ()], ids=["maximize", "minimize"])
def test_of_one_objective_the_best_at_each_cost_is_marked(tmp_path: Path, maximize: tuple[str, ...]) -> None:
    minimize = () if maximize else ("loss",)
    found = made(tmp_path, 200, lambda candidate, n: {"accuracy": n % 13, "loss": n % 11}, maximize, minimize)
    (pair,) = pairs_of(found, metrics_of(found))
    assert [metric.name for metric in pair] == [(*maximize, *minimize)[0], "flops"]
    rows = rows_of(found, metrics_of(found))
    sign = -1 if maximize else 1
    values = [(sign * row["m0"], row[pair[1].key]) for row in rows]
    expected = [not any(o != v and o[0] <= v[0] and o[1] <= v[1] for o in values) for v in values]
    assert [row["front"] for row in rows] == expected


def test_flops_as_the_only_objective_are_shown_against_parameters(tmp_path: Path) -> None:
    found = made(tmp_path, 5, maximize=())
    assert [[metric.name for metric in pair] for pair in pairs_of(found, metrics_of(found))] == [["flops", "params"]]


def test_three_objectives_are_three_pairs(tmp_path: Path) -> None:
    found = made(tmp_path, 30, lambda c, n: {"a": n % 7, "b": n % 5}, ("a", "b"), ("flops",))
    pairs = [[metric.name for metric in pair] for pair in pairs_of(found, metrics_of(found))]
    assert pairs == [["a", "b"], ["a", "flops"], ["b", "flops"]]
    sections, _ = sections_of(found)
    assert len(sections[0].figures) == 3


def test_the_best_so_far_goes_by_the_order_of_finishing(tmp_path: Path) -> None:
    found = made(tmp_path, 50)
    rows = rows_of(found, metrics_of(found))
    assert [row["trial"] for row in rows] == [number ^ 1 for number in range(50)]
    assert [row["best_m0"] for row in rows] == np.maximum.accumulate([row["m0"] for row in rows]).tolist()
    assert [row["best_m1"] for row in rows] == np.minimum.accumulate([row["m1"] for row in rows]).tolist()


def test_importance_is_what_optuna_says_of_the_stored_study(spec: str) -> None:
    found = searched(spec, trials=60, sampler="random")
    study = optuna.load_study(storage="sqlite:///n.search.db", study_name="n")
    for place, sign in enumerate((-1, 1)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = optuna.importance.get_param_importances(study, target=partial(signed, sign, place))
        assert importance(found, place).shares == pytest.approx(expected)
        assert importance(found, place).remark == ""


def signed(sign: int, place: int, trial: optuna.trial.FrozenTrial) -> float:
    return sign * trial.values[place]


def test_importance_finds_parameters_that_are_not_always_there(tmp_path: Path) -> None:
    found = made(tmp_path, 400, lambda c, n: {"accuracy": c.get("more", 0) / 4 + n / 1e6})
    shares = importance(found, 0).shares
    assert set(shares) == {"width", "deep", "more", "act"}
    assert next(iter(shares)) == "more"
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("count", "value", "remark"),
    [
        (19, None, "Too few results: 19; at least 20 are needed."),
        (30, None, "The best tenth of 30 results is fewer than five, so the importance is uncertain."),
        (80, 0.5, "All results have the same value, so no parameter matters for it."),
    ],
)
def test_importance_says_when_it_cannot_tell(tmp_path: Path, count: int, value: float | None, remark: str) -> None:
    found = made(tmp_path, count, (lambda c, n: {"accuracy": value}) if value else (lambda c, n: {"accuracy": n / 100}))
    known = importance(found, 0)
    assert known.remark == remark
    assert bool(known.shares) == (count == 30)
    assert remark in Page(page(found)).text


def test_the_distribution_of_error_is_that_of_scipy(tmp_path: Path) -> None:
    from scipy.stats import ecdf  # slow to import, and no other test needs it

    found = made(tmp_path, 200, lambda c, n: {"accuracy": round(0.3 + (n * 31 % 50) / 100, 2)})
    known = distribution_of(found)
    assert known is not None
    assert (known.name, known.large, known.parameter) == ("error", False, "deep")
    for name, steps in known.steps.items():
        chosen = [t for t in found.trials if name in (ALL, f"deep = {str(t.candidate['deep']).lower()}")]
        oracle = ecdf([1 - trial.metrics["accuracy"] for trial in chosen])
        assert [step.value for step in steps[1:]] == oracle.cdf.quantiles.tolist()
        assert [step.share for step in steps[1:]] == pytest.approx(oracle.cdf.probabilities)
        assert steps[0] == (oracle.cdf.quantiles[0], 0.0)
    upward = steps_of([3.0, 1.0, 3.0], large=True)
    assert upward == [(1.0, 1.0), (1.0, pytest.approx(2 / 3)), (3.0, 0.0)]


@pytest.mark.parametrize(
    ("metrics", "maximize", "expected"),
    [
        ({"accuracy": 0.25}, ("accuracy",), ("error", False, 0.75)),
        ({"accuracy": 25.0}, ("accuracy",), ("accuracy", True, 25.0)),
        ({"error": 0.1, "score": 2.0}, ("score",), ("error", False, 0.1)),
        ({"score": 2.0}, ("score",), ("score", True, 2.0)),
    ],
)
def test_what_is_distributed(tmp_path: Path, metrics: dict[str, float], maximize: Any, expected: Any) -> None:
    known = distribution_of(made(tmp_path, 3, lambda c, n: metrics, maximize, ()))
    assert known is not None
    assert (known.name, known.large, known.steps[ALL][0].value) == expected


def test_the_caption_says_what_the_distribution_is_of(tmp_path: Path) -> None:
    assert "so the distribution describes the space (a logarithmic range" in Page(page(made(tmp_path, 3))).text
    chosen = Page(page(made(tmp_path, 3, sampler="tpe"))).text
    assert "chosen by the sampler tpe, so the distribution describes that choice and not the space" in chosen
    scored = Page(page(made(tmp_path, 3, score="synflow", screen=9))).text
    assert "chosen by the score synflow" in scored


# --- the page ---


def test_the_page_says_what_was_asked_and_lists_the_front(tmp_path: Path) -> None:
    found = made(tmp_path, 40, failures=("MemoryError: no room", "MemoryError: no room", "ValueError: bad"))
    read_page = Page(page(found._replace(running=2, waiting=5)))
    assert "40 results, 3 failed, 2 running, 5 waiting" in read_page.text
    assert "maximize accuracy, minimize flops" in read_page.text
    assert dict(facts_of(found))["space, before budgets"] == f"{found.space.size:,} candidates"
    for trial in found.front:
        assert str(trial.candidate) in read_page.text
        assert rx.load(found.plan.spec, **flags_of(str(trial.candidate))).cost().flops == trial.metrics["flops"]
    assert re.search(r"MemoryError: no room 2 --set .* ValueError: bad 1 --set", read_page.text)


def flags_of(text: str) -> dict[str, str]:
    return dict(re.findall(r"--set (\w+)=(\S+)", text))


def test_flags_name_parameters_that_did_not_vary_too(tmp_path: Path) -> None:
    found = made(tmp_path, 3, settings={"act": "silu", "deep": True})
    _, rows = sections_of(found)
    assert all(row["flags"].startswith("--set act=silu --set deep=true --set width=") for row in rows)
    assert dict(facts_of(found))["fixed"] == "act=silu, deep=True"


EVIL = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\" ' & {{ 7*7 }}"


def evil(folder: Path) -> Found:
    """Texts of a study that would like to be more than text."""
    found = made(
        folder, 30, lambda c, n: {EVIL: n / 10, "title": 1.0, "image": float("nan")}, (EVIL,), ("flops",), (EVIL,)
    )
    return found._replace(plan=found.plan._replace(study=EVIL, evaluator=EVIL, sampler=EVIL))


def test_texts_of_others_stay_texts(tmp_path: Path) -> None:
    clean, dirty = Page(page(made(tmp_path, 30, failures=("why",)))), Page(page(evil(tmp_path)))
    assert [tag for tag, _ in dirty.elements if tag in ("img", "iframe", "link")] == []
    scripts = [attributes for tag, attributes in dirty.elements if tag == "script"]
    assert scripts == [attributes for tag, attributes in clean.elements if tag == "script"]
    assert dirty.scripts[""] == clean.scripts[""]
    assert "{{ 7*7 }}" in dirty.text
    rows = json.loads(dirty.scripts["results"])
    assert {row["m3"] for row in rows} == {1.0}  # the metric `title`
    assert all(None in row.values() for row in rows)  # JSON knows no nan


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    found = Page(page(made(tmp_path, 30)))
    assert not [attributes for _, attributes in found.elements if {"src", "href", "srcset", "action"} & set(attributes)]
    (policy,) = [a["content"] for _, a in found.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy


def test_the_same_results_are_the_same_page(tmp_path: Path) -> None:
    found = made(tmp_path, 30, failures=("why",))
    assert page(found) == page(found)


def test_without_results_there_is_no_chart(tmp_path: Path) -> None:
    found = Page(page(made(tmp_path, 0, failures=("why",))))
    assert "0 results, 1 failed" in found.text
    assert "There is no result yet." in found.text
    assert not [tag for tag, _ in found.elements if tag == "script"]


def test_thousands_of_results_are_listed_in_part_and_kept_once(tmp_path: Path) -> None:
    found = made(tmp_path, 1300, lambda c, n: {"accuracy": c["width"] / 2001})
    text = page(found._replace(front=found.trials))
    assert "1,100 more are not listed" in text
    assert len(text) < 900_000 + 1300 * 400
    assert text.count('"trial":1299,') == 1


def test_how_a_search_ended_is_said(tmp_path: Path) -> None:
    found = made(tmp_path, 1)
    assert standing_of(found) == "1 result, 0 failed"
    assert standing_of(found._replace(stopped=True)) == "1 result, 0 failed, stopped; the same command goes on"
    assert standing_of(found._replace(exhausted=True)) == "1 result, 0 failed, the space has no more candidates"


# --- reading a study ---


def test_what_misses_a_constraint_is_drawn_and_on_no_front(tmp_path: Path) -> None:
    whole = made(tmp_path, 40, minimize=(), constrain=("accuracy <= 0.7",), choices={"epochs": 4, "data_dir": "<b>"})
    trials = [trial._replace(feasible=trial.metrics["accuracy"] <= 0.7) for trial in whole.trials]
    missed = sum(not trial.feasible for trial in trials)
    assert 0 < missed < 40
    found = whole._replace(trials=trials, front=best(whole.plan, [trial for trial in trials if trial.feasible]))
    assert ("constraints", "accuracy <= 0.7") in facts_of(found)
    assert ("choices of the evaluator", "epochs=4, data_dir=<b>") in facts_of(found)
    assert "data_dir=&lt;b&gt;" in page(found)
    sections, rows = sections_of(found)
    assert f"{missed} results miss a constraint: they are drawn, but not on the front." in sections[0].texts[0]
    (metric,) = [metric for metric in metrics_of(found) if metric.direction]
    assert len(rows) == 40
    assert all(row[metric.key] <= 0.7 for row in rows if row["front"])
    assert max(row[metric.best] for row in rows if metric.best in row) <= 0.7
    none = found._replace(trials=[trial._replace(feasible=False) for trial in trials], front=[])
    assert sections_of(none)[0][0].table is None
    assert "40 results miss a constraint" in page(none)


def test_a_study_is_read_back_as_the_search_gave_it(spec: str) -> None:
    found = searched(spec, trials=8, sampler="random", act="relu")
    again = read(spec)
    assert (again.trials, again.front, again.failures) == (found.trials, found.front, found.failures)
    assert again.plan.settings == {"act": "relu"}
    assert page(again) == page(found._replace(plan=again.plan))


def test_a_running_study_is_read_without_a_change(spec: str) -> None:
    searched(spec, trials=3)
    study = optuna.load_study(storage="sqlite:///n.search.db", study_name="n")
    study.set_user_attr(STAGES, [["keep the budgets", 90, 9]])
    first = study.get_trials()[0]
    for state, key in ((optuna.trial.TrialState.RUNNING, "one"), (optuna.trial.TrialState.WAITING, "two")):
        attributes = {"architecture": {**first.user_attrs["architecture"], "key": key}}
        made_trial = optuna.trial.create_trial(
            state=state, params=first.params, distributions=first.distributions, user_attrs=attributes
        )
        study._storage.create_new_trial(study._study_id, template_trial=made_trial)
    before = [trial.state for trial in study.get_trials()]
    found = read(spec)
    assert (len(found.trials), found.running, found.waiting, found.exhausted) == (3, 1, 1, False)
    assert "keep the budgets 90 9" in Page(page(found)).text
    assert [trial.state for trial in study.get_trials()] == before


def test_a_built_in_evaluator_that_fixes_parameters_is_asked_again(tmp_path: Path, monkeypatch: Any) -> None:
    from resnext_dsl.searches.plan import Plan
    from resnext_dsl.searches.storage import close, open_storage
    from resnext_dsl.searches.studies import open_study

    monkeypatch.chdir(tmp_path)
    text = SPACE.replace("linear(10)", "linear(classes)").replace(
        "    param width", "    param classes = 7\n    param width"
    )
    (tmp_path / "space.arch").write_text(text)
    plan = Plan("space.arch", {}, None, ("accuracy",), (), (), 5, 1, "", "", "random", "digits", 0, 0, "", 20)
    storage = open_storage("sqlite:///n.search.db", 20, 60)
    open_study(storage, "n", plan, plan.space({"classes": 10, **shaped(plan)}))
    close(storage)
    found = read("space.arch")
    assert found.space.fixed["classes"] == 10
    assert found.trials == []


def shaped(plan: Any) -> dict[str, Any]:
    from resnext_dsl.searches.evaluator import evaluator_of

    needed = evaluator_of(plan).overrides(plan.space().network, {})
    return {name: value for name, value in needed.items() if name != "classes"}


# --- the command ---


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_command_reads_a_study_and_needs_no_more_than_its_name(spec: str, tmp_path: Path) -> None:
    searched(spec, storage="sqlite:///kept.db", study="mine")
    status, out, err = run("report", spec, "--storage", "sqlite:///kept.db", "--study", "mine")
    assert (status, out, err) == (0, "n: 6 results, 0 failed\nwrote n.report.html\n", "")
    written = (tmp_path / "n.report.html").read_text(encoding="utf-8")
    status, out, err = run(
        "report", spec, "--storage", "sqlite:///kept.db", "--study", "mine", "-o", "a/b.html", "--json"
    )
    assert status == 0, err
    answer = json.loads(out)
    assert (len(answer["trials"]), answer["running"], answer["files"]) == (6, 0, ["a/b.html"])
    assert (tmp_path / "a" / "b.html").read_text(encoding="utf-8") == written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "kept.db", "n.report.html", "space.arch"]


def test_a_search_writes_its_report(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    asked = (
        spec,
        "--maximize",
        "accuracy",
        "--evaluator",
        "search_evaluators:accuracy",
        "--trials",
        "2",
        "--budget",
        "small",
    )
    status, out, err = run("search", *asked, "--report", "found.html")
    assert status == 0, err
    assert out.endswith("wrote found.html\n")
    assert "2 results, 0 failed" in (tmp_path / "found.html").read_text(encoding="utf-8")


def test_a_stopped_search_writes_its_report_too(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("resnext_dsl.searches.observers.Lines.__call__", interrupted)
    asked = ("--maximize", "params", "--evaluator", "cost", "--budget", "small", "--report", "found.html", "--json")
    status, out, err = run("search", spec, *asked)
    assert status == 0, err
    assert (json.loads(out)["stopped"], json.loads(out)["files"]) == (True, ["found.html"])
    written = Page((tmp_path / "found.html").read_text(encoding="utf-8"))
    assert "failed, stopped; the same command goes on" in written.text.replace(", 1 waiting", "")


WRONG = [
    (
        ("--storage", "sqlite:///none.db"),
        "E722",
        "cannot read a search from sqlite:///none.db: there is no file none.db",
    ),
    (("--storage", "sqlite://"), "E722", "cannot read a search from sqlite://: it names no file"),
    (("--storage", "sqlite:///empty.db"), "E722", "the storage has no searches"),
    (("--storage", "sqlite:///space.arch"), "E722", "file is not a database"),
    (("--storage", "nonsense"), "E722", "Could not parse SQLAlchemy URL"),
    (("--storage", "postgresql://me:secret@host:port/x"), "E722", "cannot read a search from postgresql://..."),
    (
        ("--storage", "postgresql+psycopg://me:secret@127.0.0.1:1/x"),
        "E722",
        "postgresql+psycopg://me:***@127.0.0.1:1/x",
    ),
    (("--study", "nn"), "E722", "there is no study `nn`"),
    (
        ("--set", "width=8"),
        "E723",
        "the study `n` belongs to another search space than `space.arch`; nothing is written",
    ),
    (("--study", "other"), "E723", "the study `other` was not created by resnext-dsl"),
    (("--study", "bent"), "E723", "the study `bent` was not created by resnext-dsl"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG, ids=[" ".join(row[0]) for row in WRONG])
def test_mistakes_are_one_clear_error(
    spec: str, tmp_path: Path, arguments: tuple[str, ...], code: str, message: str
) -> None:
    searched(spec, trials=1)
    (tmp_path / "empty.db").touch()
    for name, plan in (("other", None), ("bent", {"trials": "many"})):
        study = optuna.create_study(storage="sqlite:///n.search.db", study_name=name)
        if plan:
            study.set_user_attr("plan", plan)
    before = sorted(tmp_path.iterdir())
    status, out, err = run("report", spec, *arguments)
    assert (status, out) == (2, "")
    assert f"error[{code}]: " in err
    assert message in err
    assert err.count("error[") == 1
    assert "secret" not in err
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "empty.db").stat().st_size == 0


def test_a_spec_that_has_changed_since_is_refused(spec: str, tmp_path: Path) -> None:
    searched(spec, trials=1)
    Path(spec).write_text(SPACE.replace("4..64", "4..128"))
    with pytest.raises(rx.ArchError, match=r"E723.*belongs to another search space than `space.arch`"):
        read(spec)
    assert not (tmp_path / "n.report.html").exists()


@pytest.mark.parametrize(
    ("command", "package"),
    [
        ("report space.arch", "vl_convert"),
        ("search space.arch --maximize params --report x.html", "altair"),
        pytest.param("report space.arch", "altair", marks=pytest.mark.slow),
        pytest.param("search space.arch --maximize params --report x.html", "vl_convert", marks=pytest.mark.slow),
    ],
)
def test_without_its_packages_the_extra_is_named(spec: str, package: str, command: str) -> None:
    searched(spec, trials=1)
    program = f"import sys; sys.modules[{package!r}] = None; from resnext_dsl.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *command.split()], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"error[E721]: a report needs {package}, which is not installed" in done.stderr
    assert "pip install 'resnext-dsl[report]'" in done.stderr


def test_a_search_without_a_report_needs_no_altair(spec: str) -> None:
    program = "import sys, resnext_dsl.searches; sys.exit(bool({'altair', 'vl_convert', 'jinja2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_the_axis_of_equal_values_is_around_them(tmp_path: Path) -> None:
    for count, metrics in ((1, None), (4, lambda *_: {"accuracy": 0.5})):
        results = made(tmp_path, count, **({"metrics": metrics} if metrics else {}))
        known = metrics_of(results)
        accuracy = next(metric for metric in known if metric.name == "accuracy")
        flops = next(metric for metric in known if metric.name == "flops")
        chart = front_chart(rows_of(results, known), known, (accuracy, flops), joined=False)
        value = results.trials[0].metrics["accuracy"]
        domains = re.findall(r'"domain": \[([\d.]+), ([\d.]+)\]', json.dumps(chart))
        assert any(
            float(low) == pytest.approx(0.9 * value) and float(high) == pytest.approx(1.1 * value)
            for low, high in domains
        ), domains


def test_an_error_that_some_results_lack_is_distributed_over_the_others(tmp_path: Path) -> None:
    results = made(tmp_path, 4, metrics=lambda _, number: {"accuracy": 0.5, **({"error": 0.1} if number % 2 else {})})
    without = [trial._replace(metrics={"flops": 1, "error": 0.1 * place}) for place, trial in enumerate(results.trials)]
    some = [trial._replace(metrics={"flops": 1}) if place == 1 else trial for place, trial in enumerate(without)]
    for trials, expected in ((without, [0.0, 0.1, 0.2, 0.3]), (some, [0.0, 0.2, 0.3])):
        distribution = distribution_of(results._replace(trials=trials))
        assert distribution is not None
        assert distribution.name == "error"
        assert sorted({round(step.value, 6) for step in distribution.steps[ALL]}) == expected


def test_the_times_are_those_of_the_results_that_have_one(tmp_path: Path) -> None:
    results = made(tmp_path, 4)
    times = dict(facts_of(results))
    assert times["first result"] == "2026-01-01 12:00:00"
    assert times["last result"] == "2026-01-01 12:00:03"
    trials = [trial._replace(finished=None) if trial.number in (0, 2) else trial for trial in results.trials]
    times = dict(facts_of(results._replace(trials=trials)))
    assert (times["first result"], times["last result"]) == ("2026-01-01 12:00:00", "2026-01-01 12:00:02")
    assert "first result" not in dict(facts_of(results._replace(trials=[t._replace(finished=None) for t in trials])))
