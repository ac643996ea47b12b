"""The content of a report of a search: its facts, and its sections with charts, tables and plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from resnext_dsl.searches.passwords import without_password
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.report.charts import Chart, distribution_chart, front_chart, history_chart, importance_chart
from resnext_dsl.searches.report.distribution import distribution_of
from resnext_dsl.searches.report.importance import BEST, importance
from resnext_dsl.searches.report.rows import Metric, flags, metrics_of, number, pairs_of, rows_of
from resnext_dsl.searches.results import Results, Trial
from resnext_dsl.searches.storage import url_of

LISTED = 200
"""Most rows of a table; the charts show all results."""

LEADING = 10
"""Results in the table of a search with one objective, which has no front to list."""


class Figure(NamedTuple):
    """A chart with its title and caption; the title distinguishes several figures of a section."""

    chart: Chart | None
    title: str = ""
    caption: str = ""


class Table(NamedTuple):
    """Rows of text and numbers below a header; the first cell of a row names it."""

    caption: str
    header: list[str]
    rows: list[list[Any]]


class Section(NamedTuple):
    """A part of the page under a heading."""

    title: str
    texts: list[str]
    figures: list[Figure]
    table: Table | None = None


def standing_of(results: Results) -> str:
    """The progress of the search, in one line."""
    parts = [_counted(len(results.trials), "result"), f"{len(results.failures):,} failed"]
    if results.running or results.waiting:
        parts += [f"{results.running:,} running", f"{results.waiting:,} waiting"]
    if results.stopped:
        parts.append("stopped; the same command goes on")
    if results.exhausted:
        parts.append("the space has no more candidates")
    return ", ".join(parts)


def facts_of(results: Results) -> list[tuple[str, str]]:
    """The plan of the search, and its times."""
    plan, space = results.plan, results.space
    goals = zip(plan.objectives, plan.directions, strict=True)
    size = f"{space.size:,} candidates" if space.size is not None else "infinite"
    facts = [
        ("spec", plan.spec),
        ("parameters", ", ".join(dimension.name for dimension in space.dimensions)),
        ("space, before budgets", size),
        ("fixed", ", ".join(f"{name}={value}" for name, value in space.fixed.items())),
        ("objectives", ", ".join(f"{direction} {name}" for name, direction in goals)),
        ("budgets", _budgets(results)),
        ("constraints", ", ".join(plan.constrain)),
        ("evaluator", plan.evaluator),
        ("choices of the evaluator", ", ".join(f"{name}={value}" for name, value in plan.choices.items())),
        ("sampler", plan.sampler),
        ("preselection", f"by {plan.score or 'cost'}, of {plan.screen:,} candidates" if plan.screen else ""),
        ("seed", str(plan.seed)),
        ("requested", _counted(plan.trials, "trial")),
        ("study", plan.study or space.network.name),
        ("storage", without_password(url_of(plan, space.network.name))),
        *_times(results),
    ]
    return [(name, text) for name, text in facts if text]


def _budgets(results: Results) -> str:
    """The limits that candidates meet, as in the file."""
    chosen = [
        limit
        for limit in results.space.network.limits
        if not results.plan.budget or limit.budget in results.plan.budget
    ]
    texts = [" ".join(filter(None, [limit.budget and f"{limit.budget}:", limit.span.text])) for limit in chosen]
    return "; ".join(dict.fromkeys(texts))  # a box is two limits


def _times(results: Results) -> list[tuple[str, str]]:
    ended = [trial.finished for trial in results.trials if trial.finished is not None]
    if not ended:
        return []
    seconds = sum(trial.seconds for trial in results.trials)
    return [
        ("evaluating, all together", f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2g} s"),
        ("evaluated on", ", ".join(f"{device} ({count})" for device, count in results.devices.items())),
        ("first result", f"{min(ended):%Y-%m-%d %H:%M:%S}"),
        ("last result", f"{max(ended):%Y-%m-%d %H:%M:%S}"),
    ]


def sections_of(results: Results) -> tuple[list[Section], list[dict[str, Any]]]:
    """The sections of the page, and the rows of the data set that their charts share."""
    sections = [Section("Results", ["There is no result yet."], [])]
    rows: list[dict[str, Any]] = []
    if results.trials:
        metrics = metrics_of(results)
        rows = rows_of(results, metrics)
        objectives = [metric for metric in metrics if metric.direction]
        sections = [
            _front(results, rows, metrics),
            _history(rows, metrics, objectives),
            _importance(results, objectives),
            _distribution(results),
        ]
    if results.stages:
        header = ["stage", "in", "on"]
        stages = Table("candidates before and after each stage", header, [list(stage) for stage in results.stages])
        sections.append(Section("Stages before the search", [], [], stages))
    if results.failures:
        sections.append(_failures(results))
    return sections, rows


def _front(results: Results, rows: Sequence[dict[str, Any]], metrics: Sequence[Metric]) -> Section:
    """The front of several objectives, or the best results of one, in charts and as a table."""
    pairs, count = pairs_of(results, metrics), len(results.plan.objectives)
    figures = [
        Figure(front_chart(rows, metrics, pair, count < 3), f"{pair[0].name} and {pair[1].name}" if count > 2 else "")
        for pair in pairs
    ]
    if count > 1:
        share = f"{len(results.front):,} of {_counted(len(results.trials), 'result')}"
        text = f"On the front: {share}, which no other result dominates.{_missed(results)}"
        caption = "the front, the first objective's best first"
        return Section("The front", [text], figures, _listed(results, metrics, results.front, caption))
    sign = -1 if metrics[0].direction == "maximize" else 1
    kept = [trial for trial in results.trials if trial.feasible]
    leading = sorted(kept, key=lambda trial: (sign * trial.values[0], trial.number))[:LEADING]
    cost = pairs[0][1].name if pairs else "cost"
    text = f"There is one objective. The marked results are the best for each {cost}.{_missed(results)}"
    caption = f"the best {len(leading)}" if len(leading) > 1 else "the best"
    return Section("The best", [text], figures, _listed(results, metrics, leading, caption))


def _missed(results: Results) -> str:
    """The sentence about results that miss a constraint."""
    count = sum(not trial.feasible for trial in results.trials)
    return f" {_counted(count, 'result')} miss a constraint: they are drawn, but not on the front." if count else ""


def _listed(results: Results, metrics: Sequence[Metric], trials: Sequence[Trial], caption: str) -> Table | None:
    if not trials:
        return None
    more = f"; {len(trials) - LISTED:,} more are not listed" if len(trials) > LISTED else ""
    rows = [
        [str(trial.number), *(number(trial, metric) for metric in metrics), flags(results, trial.candidate)]
        for trial in trials[:LISTED]
    ]
    return Table(caption + more, ["trial", *(metric.name for metric in metrics), "flags"], rows)


def _history(rows: Sequence[dict[str, Any]], metrics: Sequence[Metric], objectives: Sequence[Metric]) -> Section:
    figures = [
        Figure(history_chart(rows, metrics, objective), objective.name if len(objectives) > 1 else "")
        for objective in objectives
    ]
    return Section(
        "The history", ["All results in the order in which they finished; the line is the best value so far."], figures
    )


def _importance(results: Results, objectives: Sequence[Metric]) -> Section:
    figures = []
    for place, objective in enumerate(objectives):
        known = importance(results, place)
        chart = importance_chart(known, objective) if known.shares else None
        figures.append(Figure(chart, f"for {objective.name}", known.remark))
    text = (
        f"The difference between the distributions of a parameter among the best {BEST:.0%} of the results and among "
        "all results, as a share of all parameters (PED-ANOVA; Watanabe et al., IJCAI 2023). "
        "It describes the results that the sampler chose."
    )
    return Section("Importance of the parameters", [text], figures)


def _distribution(results: Results) -> Section:
    known = distribution_of(results)
    title = "Distribution of error"
    if known is None:
        return Section(title, ["No result has a finite error."], [])
    side = "above" if known.large else "below"
    meaning = {"error": "F(e) is the share of networks with an error below e"}.get(
        known.name, f"For each value of {known.name}, the share of networks {side} it"
    )
    texts = [f"{meaning} (Radosavovic et al., ICCV 2019, equation 1).", _described(results.plan)]
    if results.failures:
        texts.append(f"{_counted(len(results.failures), 'candidate')} failed and are not counted here.")
    title = title if known.name == "error" else f"Distribution of {known.name}"
    return Section(title, [" ".join(texts)], [Figure(distribution_chart(known))])


def _described(plan: Plan) -> str:
    """The population of the distribution; only a uniform sample represents the space."""
    if plan.sampler == "random" and not plan.screen:
        return (
            "Candidates were drawn uniformly within the budgets, so the distribution describes the space "
            "(a logarithmic range is uniform in the logarithm)."
        )
    ranked = f"the score {plan.score}" if plan.score else "their cost"
    chosen = ranked if plan.screen else f"the sampler {plan.sampler}"
    return (
        f"Candidates were chosen by {chosen}, so the distribution describes that choice and not the space; "
        "a search with --sampler random describes the space."
    )


def _failures(results: Results) -> Section:
    reasons = Counter(failure.reason for failure in results.failures).most_common(LISTED)
    rows: list[list[Any]] = []
    for reason, count in reasons:
        example = next(failure for failure in results.failures if failure.reason == reason)
        rows.append([reason, count, flags(results, example.candidate)])
    return Section(
        "Failures", [], [], Table("failures by reason, with a candidate of each", ["reason", "count", "flags"], rows)
    )


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
