"""The HTML file of a report: one page that loads no other file and runs only its own scripts.

Every text of a spec or a study is escaped. In addition, the content security policy of the page forbids all other
scripts and every request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.searches.results import Results

try:
    import vl_convert
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from resnext_dsl.searches.report.sections import facts_of, sections_of, standing_of
except ModuleNotFoundError as missing:
    if missing.name not in ("altair", "vl_convert", "jinja2", "markupsafe"):
        raise
    message = f"a report needs {missing.name}, which is not installed"
    raise ArchError([Diagnostic("E721", message, hint="pip install 'resnext-dsl[report]'", file="report")]) from None

HERE = Path(__file__).parent


def write(results: Results, path: str | os.PathLike[str]) -> Path:
    """Writes the report of a search, and returns its path.

    Raises:
        OSError: If the file cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    partial.write_text(page(results), encoding="utf-8", newline="\n")
    partial.replace(target)
    return target


def page(results: Results) -> str:
    """The text of the page."""
    from resnext_dsl.foundation.version import __version__

    sections, rows = sections_of(results)
    charts = [figure.chart for section in sections for figure in section.figures if figure.chart is not None]
    library, script = _library(), (HERE / "document.js").read_text("utf-8")
    text: str = _template().render(
        network=results.space.network.name,
        standing=standing_of(results),
        facts=facts_of(results),
        sections=sections,
        charts=charts,
        specifications=_json(charts),
        results=_json(rows),
        library=Markup(library),  # trusted code: Vega and this package
        script=Markup(script),
        style=Markup((HERE / "document.css").read_text("utf-8")),
        policy=_policy(library, script),
        version=__version__,
    )
    return text


@cache
def _library() -> str:
    """The bundle of Vega, Vega-Lite and Vega-Embed; cached, because building it takes seconds."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _template() -> Any:
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    environment.filters["shown"] = _shown
    return environment.get_template("document.html")


def _shown(cell: Any) -> str:
    """A cell of a table as text."""
    if cell is None:
        return "none"
    if isinstance(cell, float) and not cell.is_integer():
        return f"{cell:.6g}"
    return f"{cell:,.0f}" if isinstance(cell, int | float) else str(cell)


def _json(value: Any) -> Markup:
    """A value as JSON in which no text can end the script element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _policy(*scripts: str) -> str:
    """The content security policy: these scripts, inline styles and embedded images only."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts
    )
    refused = "default-src 'none'; base-uri 'none'; form-action 'none'"
    return f"{refused}; script-src {hashes}; style-src 'unsafe-inline'; img-src data:"
