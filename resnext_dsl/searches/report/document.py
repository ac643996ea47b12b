"""The HTML file of a report: one page that loads nothing, and runs no script but its own.

Whatever comes from a spec or a study is escaped; what would still be a script is refused by the page's own policy,
which also forbids every request.
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


def write(found: Results, path: str | os.PathLike[str]) -> Path:
    """Writes the report of a search, and gives its path.

    Raises:
        OSError: Where it cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    partial.write_text(page(found), encoding="utf-8", newline="\n")
    partial.replace(target)
    return target


def page(found: Results) -> str:
    """The text of the page."""
    from resnext_dsl.foundation.version import __version__

    sections, rows = sections_of(found)
    charts = [figure.chart for section in sections for figure in section.figures if figure.chart is not None]
    library, script = _library(), (HERE / "document.js").read_text("utf-8")
    text: str = _template().render(
        network=found.space.network.name,
        standing=standing_of(found),
        facts=facts_of(found),
        sections=sections,
        charts=charts,
        specifications=_json(charts),
        results=_json(rows),
        library=Markup(library),  # ours and Vega's, no text of others
        script=Markup(script),
        style=Markup((HERE / "document.css").read_text("utf-8")),
        policy=_policy(library, script),
        version=__version__,
    )
    return text


@cache
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed, whose making takes seconds."""
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
    """A value as JSON that ends no script, whatever texts are in it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _policy(*scripts: str) -> str:
    """What the page may do: run these scripts, and have styles."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts
    )
    refused = "default-src 'none'; base-uri 'none'; form-action 'none'"
    return f"{refused}; script-src {hashes}; style-src 'unsafe-inline'; img-src data:"
