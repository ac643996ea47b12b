"""Diagnostics: the mistakes of a spec, in a form that helps its author to repair them.

Defines spans, diagnostics, the exceptions that carry them, and their text form. The stages of the pipeline find the
mistakes; this module does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from resnext_dsl.foundation.records import NamedTuple

if TYPE_CHECKING:
    from resnext_dsl.foundation.source import Source

CODES: dict[str, str] = {
    "E001": "the text is not valid UTF-8, or it has a character that a spec cannot contain",
    "E002": "syntax error",
    "E003": "a bracket is not closed or not opened",
    "E101": "unknown name",
    "E102": "a name, a limit or a value of a domain is given twice",
    "E103": "a name is not allowed",
    "E104": "a template or function always calls itself, or a network is derived from itself",
    "E105": "a name, statement or declaration is used where it is not allowed",
    "E201": "unknown argument or parameter",
    "E202": "missing argument",
    "E203": "too many arguments, or one argument given twice",
    "E204": "a value of the wrong type",
    "E205": "a value out of range",
    "E206": "an expression cannot be computed",
    "E207": "not an operator or template",
    "E208": "unknown measure in a budget",
    "E209": "an `init` rule matches no weights",
    "E210": "a limit has no unit, or a unit of another measure",
    "E301": "the operator does not accept a value of this shape",
    "E302": "channels are not divisible by groups or cardinality",
    "E303": "the kernel is larger than its input",
    "E304": "shapes that must match are different",
    "E305": "a network has no input, no operators or no output",
    "E401": "the source text is too large",
    "E402": "brackets are nested too deeply",
    "E403": "templates, functions or blocks are nested too deeply",
    "E404": "an integer has too many digits",
    "E405": "the network would have too many operators",
    "E406": "too many imported files",
    "E501": "the file cannot be read",
    "E502": "the file is outside the root folder",
    "E503": "files import each other in a circle",
    "E504": "the file does not have exactly one network",
    "E505": "the spec does not exist",
    "E601": "a budget is exceeded",
    "E602": "a requirement is not met",
    "E603": "a measure cannot be taken on this machine",
    "E604": "no combination of parameter values meets the request",
    "E605": "a required library is not installed",
    "E606": "a library has no network of that name",
    "E607": "a variant cannot be timed",
    "E608": "the network cannot be written in this form",
    "E610": "a model computes something that the language has no operator for",
    "E611": "a model cannot be traced",
    "E621": "the file of a model cannot be read",
    "E622": "the file of a model is of a format or version that is not read",
    "E623": "the file of a model has content that is not safe to read",
    "E624": "the file of a model has operations that are not translated",
    "E701": "weights do not fit the network",
    "E702": "the weights file cannot be read",
    "E703": "the weights file cannot be written",
    "E704": "a file cannot be written",
    "E705": "the network cannot be exported to this format",
    "E706": "the network computes other values than the reference with the same weights",
    "E707": "a map of weights names a layer that does not exist, or one layer twice",
    "E708": "the reference of a checkpoint cannot be built or run",
    "E711": "a training option has an invalid value",
    "E712": "the data set cannot be read",
    "E713": "the network does not fit the data set",
    "E714": "the run cannot be resumed or written",
    "E715": "training diverged",
    "E721": "the evaluator or score cannot be used",
    "E722": "the storage cannot be used",
    "E723": "the storage has a different search under this name",
    "E724": "the workers of a search cannot run",
    "E801": "internal error (please report it)",
    "E802": "an exported file gives other outputs than the network (please report it)",
    "W901": "a declaration is never used",
    "W902": "the value of an operator is never used",
    "W903": "the evaluator of a search has changed since earlier results",
    "W911": "layers of a checkpoint are interchangeable: shapes and names do not say which is which",
    "W912": "a checkpoint has values that are not finite",
    "W913": "a checkpoint has trained and averaged weights, and one of them was chosen",
    "W914": "the network that a checkpoint comes from computes something else with the same weights",
    "W915": "layers of a network get no weights from a checkpoint, or changed ones",
    "W921": "a model is fixed to its example in a way that its source does not tell",
}
"""Every diagnostic code with its meaning; a code never changes its meaning."""


MOST = 200
"""The number of diagnostics after which a stage stops; a reader does not read more."""


class EnoughError(Exception):
    """A stage has `MOST` diagnostics and stops; its own list has them."""


class Span(NamedTuple):
    """A stretch of source text: offsets in code points, end exclusive."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        """Line of the first character, from 1."""
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        """Column of the first character, from 1, in code points."""
        return self.source.position(self.start)[1]

    @property
    def end_line(self) -> int:
        """Line of the end, from 1."""
        return self.source.position(self.end)[0]

    @property
    def end_column(self) -> int:
        """Column just after the last character, from 1."""
        return self.source.position(self.end)[1]

    @property
    def text(self) -> str:
        """The source text itself."""
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of the other."""
        return Span(self.source, self.start, other.end)


class Note(NamedTuple):
    """A second place in the text that belongs to a diagnostic."""

    message: str
    span: Span | None = None


class Diagnostic(NamedTuple):
    """One mistake: its place, the text found there, the expected text, and a suggestion to repair it.

    Attributes:
        code: A key of `CODES`; it never changes its meaning.
        message: One line; names in backticks, values shown.
        span: The text that is wrong, or None if no text is (a missing file).
        hint: A suggestion, or "".
        notes: Other places that matter, such as the origin of a shape.
        trail: The template calls that led here, outermost first.
        severity: A spec with warnings only is valid.
        file: The file's name if there is no span.
    """

    code: str
    message: str
    span: Span | None = None
    hint: str = ""
    notes: tuple[Note, ...] = ()
    trail: tuple[Note, ...] = ()
    severity: Literal["error", "warning"] = "error"
    file: str = ""

    def headline(self) -> str:
        """The diagnostic on one line: place, code and message."""
        return _printable(f"{self._place()}: {self.severity}[{self.code}]: {self.message}")

    def render(self) -> str:
        """The diagnostic as text: headline, excerpt with caret, notes, trail and hint."""
        lines = [self.headline()]
        if self.span is not None:
            lines += excerpt(self.span)
        lines += [f"  note: {_at(note)}{note.message}" for note in self.notes]
        lines += _trail_lines(self.trail)
        if self.hint:
            lines.append(f"  help: {self.hint}")
        return "\n".join(map(_printable, lines))

    def to_json(self) -> dict[str, object]:
        """The diagnostic as the JSON object of `check --json`."""
        span = self.span
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "file": span.source.name if span else self.file,
            "line": span.line if span else None,
            "column": span.column if span else None,
            "end_line": span.end_line if span else None,
            "end_column": span.end_column if span else None,
            "hint": self.hint,
            "notes": [_note_json(note) for note in self.notes],
            "trail": [_note_json(call) for call in self.trail],
        }

    def _place(self) -> str:
        if self.span is None:
            return self.file or "spec"
        return f"{self.span.source.name}:{self.span.line}:{self.span.column}"


TRAIL_ENDS = 4
"""The number of calls of a long trail that are shown at either end."""


def _trail_lines(trail: tuple[Note, ...]) -> list[str]:
    """The calls, innermost first; the middle of a long trail is left out."""
    lines = [f"  in {call.message}{_called_at(call)}" for call in reversed(trail)]
    left_out = len(lines) - 2 * TRAIL_ENDS
    if left_out > 1:
        lines[TRAIL_ENDS:-TRAIL_ENDS] = [f"  ... {left_out} more calls ..."]
    return lines


def _printable(line: str) -> str:
    """A line without the control characters of terminals."""
    return line if line.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def _at(note: Note) -> str:
    return f"{note.span.source.name}:{note.span.line}:{note.span.column}: " if note.span else ""


def _called_at(call: Note) -> str:
    return f" at {call.span.source.name}:{call.span.line}:{call.span.column}" if call.span else ""


def _note_json(note: Note) -> dict[str, object]:
    span = note.span
    return {
        "message": note.message,
        "file": span.source.name if span else None,
        "line": span.line if span else None,
        "column": span.column if span else None,
    }


EXCERPT_WIDTH = 120


def excerpt(span: Span) -> list[str]:
    """The line of a span with a caret line under it; a very long line is cut around the caret."""
    text = span.source.line(span.line).replace("\t", " ")
    column = span.column
    length = span.end_column - column if span.end_line == span.line else len(text) - column + 1
    if len(text) > EXCERPT_WIDTH:
        first = max(0, min(column - 1 - EXCERPT_WIDTH // 2, len(text) - EXCERPT_WIDTH))
        text = text[first : first + EXCERPT_WIDTH]
        column -= first
    shown = _printable(text)
    carets = "^" * max(1, min(length, len(shown) - column + 1))
    gutter = str(span.line)
    blank = " " * len(gutter)
    return [f" {blank} |", f" {gutter} | {shown}", f" {blank} | {' ' * (column - 1)}{carets}"]


class ArchError(Exception):
    """Base of every error about a spec.

    Attributes:
        diagnostics: The mistakes in the order of the text; at least one of them is an error.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(diagnostics)
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)

    def __str__(self) -> str:
        return "\n\n".join(diagnostic.render() for diagnostic in self.diagnostics)


class SpecSyntaxError(ArchError):
    """The text has syntax errors."""


class ShapeError(ArchError):
    """The shapes of operators do not fit together."""


class BudgetError(ArchError):
    """The spec is valid and exceeds a budget; lists every violation."""


class RequirementError(ArchError):
    """The spec is valid and a `require` does not hold for its parameter values."""


class WeightsError(ArchError):
    """A checkpoint does not fit the network; nothing was loaded."""


class WeightsWarning(UserWarning):
    """A checkpoint was loaded, and the user should know something about it.

    Attributes:
        diagnostic: The warning.
    """

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.render())
        self.diagnostic = diagnostic


class TrainingError(ArchError):
    """The spec is valid and its training failed."""


def error(code: str, message: str, span: Span | None = None, **more: Any) -> ArchError:
    """An `ArchError` of one diagnostic."""
    return ArchError([Diagnostic(code, message, span, **more)])


REPORTED_CALLS = 4
"""The number of calls of an internal error that its hint lists."""


def internal_error(problem: Exception) -> ArchError:
    """E801 for an exception that is a mistake of this package, with the text to report."""
    import traceback  # needed for internal errors only

    text = str(problem).partition("\n")[0][:200]
    calls = traceback.extract_tb(problem.__traceback__)[-REPORTED_CALLS:]
    places = [f"{PurePath(call.filename).name}:{call.lineno} {call.name}" for call in calls]
    message = f"internal error: {type(problem).__name__}" + (f": {text}" if text else "")
    trace = f" and these calls: {', '.join(places)}" if places else ""
    return error("E801", message, hint=f"please report it with the spec, the command{trace}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint with the nearest known name, or ""."""
    match = nearest(name, known)
    return f"did you mean `{match}`?" if match else ""


LONGEST_NAME = 100
"""The lexer refuses longer names, and no known name is near to them."""

MANY = 1000
"""The most known names that are compared with an unknown one; if there are more, the same first letters decide."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name nearest to `name`, or None if none is near.

    Two names are near if they differ in case and underscores only, or in at most a third of their letters. Of several
    near names, the nearest one counts, then the first in the alphabet.
    """
    if not 0 < len(name) <= LONGEST_NAME:
        return None
    best, fewest = None, len(name) // 3 + 1
    letters = Counter(name)
    candidates = set(known)
    if len(candidates) > MANY:
        candidates = {candidate for candidate in candidates if candidate[:2] == name[:2]}
    for candidate in sorted(candidates)[:MANY]:
        if candidate.lower().replace("_", "") == name.lower().replace("_", ""):
            return candidate
        if abs(len(candidate) - len(name)) < fewest and (letters - Counter(candidate)).total() < fewest:
            slips = _slips(name, candidate, fewest)
            if slips < min(fewest, max(len(name), len(candidate))):
                best, fewest = candidate, slips
    return best


def _slips(left: str, right: str, enough: int) -> int:
    """The number of letters to change, add, remove or swap to turn one name into the other; at most `enough`.

    Source: the optimal string alignment distance (Wagner and Fischer 1974, with Damerau's transpositions).
    """
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        following = [i]
        for j, b in enumerate(right, 1):
            slips = min(row[j] + 1, following[j - 1] + 1, row[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                slips = min(slips, before[j - 2] + 1)
            following.append(slips)
        if min(following) >= enough:
            return enough
        before, row = row, following
    return row[-1]
