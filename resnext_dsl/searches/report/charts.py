"""The charts of a report, as Vega-Lite: the front, the history, importance of parameters, the distribution of error.

All charts share the results as one data set; other data of a chart is in its specification. Texts of specs and studies
are titles and values here, never expressions or names of fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import altair as alt

from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.searches.report.distribution import ALL, Distribution
from resnext_dsl.searches.report.importance import Importance
from resnext_dsl.searches.report.rows import Metric

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'
"""The font of the page; Vega places labels by their width in this font, so a style sheet cannot change it."""

Chart = dict[str, Any]
"""A Vega-Lite specification."""

RESULTS = "results"
"""The name of the data set that all charts share."""

FRONT, OTHER = "#e0632b", "#5b8db8"
"""Colours that differ in the light and the dark theme; the shapes differ too, for readers who do not see colours."""

CHOICES = ["#888888", "#0f7fbf", "#e0632b", "#2f9e6e", "#b65fc9", "#c79a00", "#d6476b", "#5c6bc0"]

SPREAD = 50
"""The axis of a cost is logarithmic if its largest value is more than this factor above the smallest."""

SHOWN = 12
"""Most metrics in the tooltip of a point."""


def front_chart(
    rows: Sequence[dict[str, Any]], metrics: Sequence[Metric], pair: tuple[Metric, Metric], joined: bool
) -> Chart:
    """All results by two metrics, with the front marked; `joined` connects the points of the front by a line."""
    up, across = pair
    x = alt.X(f"{across.key}:Q", title=across.name, scale=_scale(rows, across), axis=_axis(across))
    y = alt.Y(f"{up.key}:Q", title=up.name, scale=_scale(rows, up), axis=_axis(up))
    legend = alt.Legend(title=None, orient="top", labelExpr="datum.label == 'true' ? 'front' : 'other results'")
    points = _results().encode(
        x=x,
        y=y,
        color=alt.Color("front:N", scale=alt.Scale(domain=[True, False], range=[FRONT, OTHER]), legend=legend),
        shape=alt.Shape("front:N", scale=alt.Scale(domain=[True, False], range=["diamond", "circle"]), legend=legend),
        tooltip=_tooltip(metrics),
    )
    others = points.transform_filter("!datum.front").mark_point(filled=True, size=36, opacity=0.55, aria=False)
    marked = points.transform_filter("datum.front").mark_point(filled=True, size=95, opacity=1, aria=False)
    layers = [marked] if all(row["front"] for row in rows) else [others, marked]
    if joined:
        # Between two points of a front, the cheaper one is the best available.
        steps: Literal["step-before", "step-after"] = "step-before" if across.direction == "maximize" else "step-after"
        line = (
            _results()
            .transform_filter("datum.front")
            .mark_line(color=FRONT, strokeWidth=1.5, aria=False, interpolate=steps)
        )
        layers.insert(-1, line.encode(x=x, y=y))
    return _spec(alt.layer(*layers), f"{up.name} of every result against {across.name}, the front marked", 360)


def history_chart(rows: Sequence[dict[str, Any]], metrics: Sequence[Metric], objective: Metric) -> Chart:
    """An objective of every result in the order in which they finished, and the best value so far."""
    x = alt.X("order:Q", title="results, in the order they were finished", axis=alt.Axis(tickMinStep=1, format="d"))
    scale = _scale(rows, objective)
    y = alt.Y(f"{objective.key}:Q", title=objective.name, scale=scale, axis=_axis(objective))
    points = _results().mark_point(filled=True, size=30, opacity=0.55, color=OTHER, shape="circle", aria=False)
    best = _results().mark_line(color=FRONT, strokeWidth=2, interpolate="step-after", aria=False)
    layered = alt.layer(
        points.encode(x=x, y=y, tooltip=_tooltip(metrics)),
        best.encode(x=x, y=alt.Y(f"{objective.best}:Q", title=objective.name, scale=scale)),
    )
    return _spec(layered, f"{objective.name} of every result in the order they were finished, and the best so far", 260)


def importance_chart(importance: Importance, objective: Metric) -> Chart:
    """The share of each parameter as a bar."""
    values = [{"parameter": name, "share": share} for name, share in importance.shares.items()]
    bars = alt.Chart(alt.InlineData(values=values)).mark_bar(color=OTHER, cornerRadiusEnd=2)
    encoded = bars.encode(
        x=alt.X("share:Q", title="importance", axis=alt.Axis(format=".0%"), scale=alt.Scale(domainMin=0)),
        y=alt.Y("parameter:N", title=None, sort=None, axis=alt.Axis(labelLimit=220)),
        tooltip=[
            alt.Tooltip("parameter:N", title="parameter"),
            alt.Tooltip("share:Q", title="importance", format=".1%"),
        ],
    )
    return _spec(encoded, f"The importance of each parameter for {objective.name}", max(70, 26 * len(values)))


def distribution_chart(distribution: Distribution) -> Chart:
    """A step chart of the share of networks that are better than a value."""
    values = [
        {"of": name, "place": place, "value": step.value, "share": step.share}
        for name, steps in distribution.steps.items()
        for place, step in enumerate(steps)
    ]
    different = {step.value for steps in distribution.steps.values() for step in steps}
    scale = _around(different.pop()) if len(different) == 1 else alt.Scale(zero=False)
    share = f"share of networks {'above' if distribution.large else 'below'}"
    several = len(distribution.steps) > 1
    legend = alt.Legend(title=None, orient="top", labelLimit=300) if several else None
    lines = alt.Chart(alt.InlineData(values=values)).mark_line(interpolate="step-after", aria=False)
    encoded = lines.encode(
        x=alt.X("value:Q", title=distribution.name, scale=scale),
        y=alt.Y("share:Q", title=share, axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])),
        order="place:Q",
        color=alt.Color(
            "of:N", sort=None, legend=legend, scale=alt.Scale(domain=list(distribution.steps), range=CHOICES)
        ),
        strokeWidth=alt.condition(f"datum.of == '{ALL}'", alt.value(2.5), alt.value(1.5)),
        tooltip=[
            alt.Tooltip("of:N", title="networks"),
            alt.Tooltip("value:Q", title=distribution.name),
            alt.Tooltip("share:Q", title=share, format=".1%"),
        ],
    )
    return _spec(encoded, f"The empirical distribution of {distribution.name}", 300)


def _results() -> alt.Chart:
    return alt.Chart(alt.NamedData(name=RESULTS))


def _scale(rows: Sequence[dict[str, Any]], metric: Metric) -> alt.Scale:
    values = [row[metric.key] for row in rows if row[metric.key] is not None]
    if len(set(values)) == 1:
        return _around(values[0])
    wide = metric.name in COST_MEASURES and values and min(values) > 0 and max(values) / min(values) > SPREAD
    return alt.Scale(type="log", nice=False, padding=12) if wide else alt.Scale(zero=False)


def _around(value: float) -> alt.Scale:
    """A scale around a single value; the default axis would round it."""
    margin = abs(value) / 10 or 1
    return alt.Scale(domain=[value - margin, value + margin], nice=False)


def _axis(metric: Metric) -> alt.Axis:
    """An axis that shows costs in thousands, millions and so on."""
    return alt.Axis(format="~s") if metric.name in COST_MEASURES else alt.Axis()


def _tooltip(metrics: Sequence[Metric]) -> list[alt.Tooltip]:
    shown = [
        alt.Tooltip(
            f"{metric.key}:Q", title=_title(metric.name), format="," if metric.name in COST_MEASURES else ".6~g"
        )
        for metric in metrics[:SHOWN]
    ]
    return [alt.Tooltip("trial:Q", title="trial", format="d"), alt.Tooltip("flags:N", title="flags"), *shown]


def _title(name: str) -> str:
    """The title of a metric in a tooltip, in which Vega treats the titles "title" and "image" specially."""
    return f"{name} (metric)" if name in ("title", "image") else name


def _spec(chart: Any, description: str, height: int) -> Chart:
    """A chart as wide as its container in the page; the style sheet of the page sets the colours of its texts."""
    sized = chart.properties(width="container", height=height, description=description, background="transparent")
    texts = {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"}
    styled = sized.configure(font=FONT).configure_view(stroke=None).configure_axis(**texts)
    spec: Chart = styled.configure_legend(labelFontSize=12).to_dict()
    return spec
