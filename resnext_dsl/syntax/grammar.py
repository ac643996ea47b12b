"""The parse table of the language, which lark computes from `grammar/arch.lark`; a JSON file beside it stores it.

Lark takes a quarter of a second to analyse the grammar, so a process reads the stored table. If the table does not
belong to this grammar (while the grammar is edited), lark computes it again. To write the table, run
`python -m resnext_dsl.syntax.grammar`.
"""

from __future__ import annotations

import json
import re
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from resnext_dsl.foundation.records import NamedTuple

FOLDER = Path(__file__).parents[1] / "grammar"
GRAMMAR = FOLDER / "arch.lark"
TABLE = FOLDER / "arch.table.json"


class Reduction(NamedTuple):
    """One rule of the grammar, as the driver applies it.

    Attributes:
        origin: The nonterminal that it produces.
        length: The number of symbols that it takes off the stack.
        build: The method of the tree builder to call; "" to pass the children on as a list (a helper rule of lark).
        inline_single: Whether a single child replaces the node.
        children: For each kept child: its index, whether it is a list to splice in, the number of Nones before it.
        trailing: Nones after the last child.
        unit: Whether it only renames one symbol and keeps its value, as most steps of an expression do.
    """

    origin: str
    length: int
    build: str
    inline_single: bool
    children: tuple[tuple[int, bool, int], ...]
    trailing: int
    unit: bool


class ParseTable(NamedTuple):
    """LALR(1) parse table and the terminals of the lexer.

    Attributes:
        patterns: Terminal name -> regular expression, for terminals that are not plain text.
        literals: Plain text -> terminal name (keywords and signs).
        rules: The reductions.
        actions: For each state, symbol -> next state (>= 0), or rule to reduce by (-1 - index).
        start: The first state.
        accept: The state after a whole file.
        climbs: The driver's cache of runs of unit reductions: (state below, state, terminal) -> state.
    """

    patterns: dict[str, str]
    literals: dict[str, str]
    rules: tuple[Reduction, ...]
    actions: tuple[dict[str, int], ...]
    start: int
    accept: int
    climbs: dict[tuple[int, int, str], int]


@cache
def table() -> ParseTable:
    """The parse table, read once per process."""
    checksum = zlib.crc32(GRAMMAR.read_bytes())
    saved = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    if saved.get("grammar") != checksum:
        saved = build()
    return ParseTable(
        patterns=saved["patterns"],
        literals=saved["literals"],
        rules=tuple(_rule(*row) for row in saved["rules"]),
        actions=tuple(saved["actions"]),
        start=saved["start"],
        accept=saved["accept"],
        climbs={},
    )


def _rule(origin: str, length: int, build: str, inline: bool, children: list[Any], trailing: int) -> Reduction:
    unit = inline and children == [[0, False, 0]] and length == 1 and not trailing
    return Reduction(origin, length, build, inline, tuple(map(tuple, children)), trailing, unit)


def build() -> dict[str, Any]:
    """The table as JSON, made by lark from the grammar."""
    import lark
    from lark.lexer import PatternStr

    text = GRAMMAR.read_text(encoding="utf-8")
    parser = lark.Lark(text, start="file", parser="lalr", lexer="basic", maybe_placeholders=True)
    # Lark has no public access to its table, so pyproject.toml bounds the version of lark. The tests compare our driver
    # with lark's own.
    parse_table = parser.parser.parser._parse_table
    rules = parser.rules
    start, end = parse_table.start_states["file"], parse_table.end_states["file"]
    states, place = _numbered(_actions(parse_table, rules), start)
    return {
        "grammar": zlib.crc32(GRAMMAR.read_bytes()),
        "patterns": {t.name: t.pattern.to_regexp() for t in parser.terminals if not isinstance(t.pattern, PatternStr)},
        "literals": {t.pattern.value: t.name for t in parser.terminals if isinstance(t.pattern, PatternStr)},
        "rules": [_rule_row(rule) for rule in rules],
        "actions": states,
        "start": place[start],
        "accept": place[end],
    }


def _rule_row(rule: Any) -> list[Any]:
    """A lark rule as a row of the table; lark's options of the rule tell which children the tree keeps."""
    flags = rule.options.empty_indices or ()
    gaps = [len(run) for run in "".join("1" if flag else "0" for flag in flags).split("0")] if flags else []
    gaps += [0] * (len(rule.expansion) + 1 - len(gaps))
    children, nones = [], 0
    for index, symbol in enumerate(rule.expansion):
        nones += gaps[index]
        if not (symbol.is_term and symbol.filter_out):
            children.append([index, not symbol.is_term and symbol.name.startswith("_"), nones])
            nones = 0
    origin = str(rule.origin.name)
    build = "" if origin.startswith("_") else str(rule.alias or origin)
    inline = bool(rule.options.expand1 and not rule.alias)
    return [origin, len(rule.expansion), build, inline, children, nones + gaps[-1] if children or gaps else nones]


def _actions(parse_table: Any, rules: Any) -> list[dict[str, int]]:
    from lark.parsers.lalr_analysis import Shift

    by_value = {rule: index for index, rule in enumerate(rules)}
    states: list[dict[str, int]] = []
    for number in range(len(parse_table.states)):
        row = parse_table.states[number]
        states.append(
            {
                name: target if action is Shift else -1 - by_value[target]
                for name, (action, target) in sorted(row.items())
            }
        )
    return states


def _numbered(states: list[dict[str, int]], start: int) -> tuple[list[dict[str, int]], dict[int, int]]:
    """The states numbered in the order they are reached: lark's own numbers differ from process to process."""
    place = {start: 0}
    order = [start]
    for state in order:
        for target in states[state].values():
            if target >= 0 and target not in place:
                place[target] = len(order)
                order.append(target)
    renamed = [{name: place[to] if to >= 0 else to for name, to in states[old].items()} for old in order]
    return renamed, place


def lexer_pattern(grammar: ParseTable) -> re.Pattern[str]:
    """One regular expression for every terminal; signs longest first, then any one character as `UNKNOWN`."""
    words = [f"(?P<{name}>{pattern})" for name, pattern in sorted(grammar.patterns.items(), key=_lexing_order)]
    signs = sorted((text for text in grammar.literals if not text[0].isalpha()), key=lambda text: (-len(text), text))
    sign = "|".join(re.escape(text) for text in signs)
    return re.compile("|".join([*words, f"(?P<SIGN>{sign})", r"(?P<UNKNOWN>[\s\S])"]))


def _lexing_order(item: tuple[str, str]) -> tuple[int, str]:
    return (0 if item[0] == "DIMENSIONS" else 1, item[0])


if __name__ == "__main__":
    TABLE.write_text(json.dumps(build(), sort_keys=True, separators=(",", ":")) + "\n", encoding="utf-8")
