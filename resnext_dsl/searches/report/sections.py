"""What a report of a search says: its facts, and its sections with their charts, tables and words; plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.report.charts import Chart, distribution_chart, front_chart, history_chart, importance_chart
from resnext_dsl.searches.report.distribution import distribution_of
from resnext_dsl.searches.report.importance import BEST, importance
from resnext_dsl.searches.report.rows import Metric, flags, metrics_of, number, pairs_of, rows_of
from resnext_dsl.searches.results import Results, Trial
from resnext_dsl.searches.storage import url_of, without_password

LISTED = 200
"""Rows of a table; the charts show all results."""

LEADING = 10
"""Results that are listed where there is one objective, and so no front to list."""


class Figure(NamedTuple):
    """A chart and what is said about it; the title is of use where there are several."""

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


def standing_of(found: Results) -> str:
    """How the search stands, in a line."""
    parts = [_counted(len(found.trials), "result"), f"{len(found.failures):,} failed"]
    if found.running or found.waiting:
        parts += [f"{found.running:,} running", f"{found.waiting:,} waiting"]
    if found.stopped:
        parts.append("stopped; the same command goes on")
    if found.exhausted:
        parts.append("the space has no more")
    return ", ".join(parts)


def facts_of(found: Results) -> list[tuple[str, str]]:
    """What was asked, and what it took."""
    plan, space = found.plan, found.space
    goals = zip(plan.objectives, plan.directions, strict=True)
    size = f"{space.size:,} candidates" if space.size is not None else "not to be counted"
    facts = [
        ("spec", plan.spec),
        ("parameters", ", ".join(dimension.name for dimension in space.dimensions)),
        ("space, before budgets", size),
        ("fixed", ", ".join(f"{name}={value}" for name, value in space.fixed.items())),
        ("objectives", ", ".join(f"{direction} {name}" for name, direction in goals)),
        ("budgets", _budgets(found)),
        ("constraints", ", ".join(plan.constrain)),
        ("evaluator", plan.evaluator),
        ("its choices", ", ".join(f"{name}={value}" for name, value in plan.choices.items())),
        ("sampler", plan.sampler),
        ("chosen before", f"by {plan.score or 'cost'}, of {plan.screen:,} candidates" if plan.screen else ""),
        ("seed", str(plan.seed)),
        ("asked for", _counted(plan.trials, "trial")),
        ("study", plan.study or space.network.name),
        ("storage", without_password(url_of(plan, space.network.name))),
        *_times(found),
    ]
    return [(name, text) for name, text in facts if text]


def _budgets(found: Results) -> str:
    """The limits that candidates keep, as the file has them."""
    chosen = [
        limit for limit in found.space.network.limits if not found.plan.budget or limit.budget in found.plan.budget
    ]
    texts = [" ".join(filter(None, [limit.budget and f"{limit.budget}:", limit.span.text])) for limit in chosen]
    return "; ".join(dict.fromkeys(texts))  # a box is two limits


def _times(found: Results) -> list[tuple[str, str]]:
    ended = [trial.finished for trial in found.trials if trial.finished is not None]
    if not ended:
        return []
    seconds = sum(trial.seconds for trial in found.trials)
    return [
        ("evaluating, all together", f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2g} s"),
        ("evaluated on", ", ".join(f"{device} ({count})" for device, count in found.devices.items())),
        ("first result", f"{min(ended):%Y-%m-%d %H:%M:%S}"),
        ("last result", f"{max(ended):%Y-%m-%d %H:%M:%S}"),
    ]


def sections_of(found: Results) -> tuple[list[Section], list[dict[str, Any]]]:
    """The sections of the page, and the rows that their charts share."""
    sections = [Section("Results", ["There is no result yet, so there is nothing to draw."], [])]
    rows: list[dict[str, Any]] = []
    if found.trials:
        metrics = metrics_of(found)
        rows = rows_of(found, metrics)
        objectives = [metric for metric in metrics if metric.direction]
        sections = [
            _front(found, rows, metrics),
            _history(rows, metrics, objectives),
            _importance(found, objectives),
            _distribution(found),
        ]
    if found.stages:
        header = ["stage", "in", "on"]
        stages = Table("what came into each stage and went on", header, [list(stage) for stage in found.stages])
        sections.append(Section("Stages before the search", [], [], stages))
    if found.failures:
        sections.append(_failures(found))
    return sections, rows


def _front(found: Results, rows: Sequence[dict[str, Any]], metrics: Sequence[Metric]) -> Section:
    """The front of several objectives, or the best of one, in charts and as a table."""
    pairs, count = pairs_of(found, metrics), len(found.plan.objectives)
    figures = [
        Figure(front_chart(rows, metrics, pair, count < 3), f"{pair[0].name} and {pair[1].name}" if count > 2 else "")
        for pair in pairs
    ]
    if count > 1:
        there = f"{len(found.front):,} of {_counted(len(found.trials), 'result')}"
        text = f"On the front: {there}. No other result is better than one of these in every objective.{_missed(found)}"
        caption = "the front, the first objective's best first"
        return Section("The front", [text], figures, _listed(found, metrics, found.front, caption))
    sign = -1 if metrics[0].direction == "maximize" else 1
    kept = [trial for trial in found.trials if trial.feasible]
    leading = sorted(kept, key=lambda trial: (sign * trial.values[0], trial.number))[:LEADING]
    cost = pairs[0][1].name if pairs else "cost"
    text = f"There is one objective, so the front is the best that there is for each {cost}.{_missed(found)}"
    caption = f"the best {len(leading)}" if len(leading) > 1 else "the best"
    return Section("The best", [text], figures, _listed(found, metrics, leading, caption))


def _missed(found: Results) -> str:
    """What is said of results that miss a constraint."""
    count = sum(not trial.feasible for trial in found.trials)
    return f" {_counted(count, 'result')} miss a constraint: they are drawn, and on no front." if count else ""


def _listed(found: Results, metrics: Sequence[Metric], trials: Sequence[Trial], caption: str) -> Table | None:
    if not trials:
        return None
    more = f"; {len(trials) - LISTED:,} more are not listed" if len(trials) > LISTED else ""
    rows = [
        [str(trial.number), *(number(trial, metric) for metric in metrics), flags(found, trial.candidate)]
        for trial in trials[:LISTED]
    ]
    return Table(caption + more, ["trial", *(metric.name for metric in metrics), "flags"], rows)


def _history(rows: Sequence[dict[str, Any]], metrics: Sequence[Metric], objectives: Sequence[Metric]) -> Section:
    figures = [
        Figure(history_chart(rows, metrics, objective), objective.name if len(objectives) > 1 else "")
        for objective in objectives
    ]
    return Section(
        "The history", ["Every result in the order they were finished; the line is the best so far."], figures
    )


def _importance(found: Results, objectives: Sequence[Metric]) -> Section:
    figures = []
    for place, objective in enumerate(objectives):
        known = importance(found, place)
        chart = importance_chart(known, objective) if known.shares else None
        figures.append(Figure(chart, f"for {objective.name}", known.remark))
    text = (
        f"How differently a parameter is distributed among the best {BEST:.0%} of the results and among all of them, "
        "as a share of all parameters (PED-ANOVA; Watanabe et al., IJCAI 2023). "
        "It is of the results that the sampler chose."
    )
    return Section("Importance of the parameters", [text], figures)


def _distribution(found: Results) -> Section:
    known = distribution_of(found)
    title = "Distribution of error"
    if known is None:
        return Section(title, ["No result has a finite error."], [])
    side = "above" if known.large else "below"
    meaning = {"error": "F(e) is the share of networks with an error below e"}.get(
        known.name, f"For each value of {known.name}, the share of networks {side} it"
    )
    texts = [f"{meaning} (Radosavovic et al., ICCV 2019, equation 1).", _described(found.plan)]
    if found.failures:
        texts.append(f"{_counted(len(found.failures), 'candidate')} failed and count for nothing here.")
    title = title if known.name == "error" else f"Distribution of {known.name}"
    return Section(title, [" ".join(texts)], [Figure(distribution_chart(known))])


def _described(plan: Plan) -> str:
    """What the distribution is of: only an even sample stands for the space."""
    if plan.sampler == "random" and not plan.screen:
        return (
            "Candidates were drawn at random, evenly within the budgets, so the distribution describes the space "
            "(where a range is logarithmic, evenly in the logarithm)."
        )
    ranked = f"the score {plan.score}" if plan.score else "their cost"
    chosen = ranked if plan.screen else f"the sampler {plan.sampler}"
    return (
        f"Candidates were chosen by {chosen}, so the distribution describes that choice and not the space; "
        "a search with --sampler random describes the space."
    )


def _failures(found: Results) -> Section:
    reasons = Counter(failure.reason for failure in found.failures).most_common(LISTED)
    rows: list[list[Any]] = []
    for reason, count in reasons:
        example = next(failure for failure in found.failures if failure.reason == reason)
        rows.append([reason, count, flags(found, example.candidate)])
    return Section(
        "Failures", [], [], Table("failures by reason, with a candidate of each", ["reason", "count", "flags"], rows)
    )


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
