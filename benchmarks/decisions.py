"""The figures behind four decisions of the compiler: the parser, the count, the replay of calls, the named tuples.

docs/architecture.md gives the reasons. Figures are CPU time where one process runs, and fresh processes where an import
counts. Both sides of a ratio run in turn.

python benchmarks/decisions.py [rounds]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from timing import machine

import resnext_dsl as rx
from resnext_dsl.expansion import expand, template_calls

SPECS = Path(__file__).parent.parent / "specs"
SPEC = SPECS / "resnext50_32x4d.arch"

TABLE_PARSER = """
from pathlib import Path
import resnext_dsl.syntax.lexer
from resnext_dsl.foundation.source import Source
source = Source("spec.arch", Path(SPEC).read_text(encoding="utf-8"))
import time
start = time.process_time()
from resnext_dsl.syntax.parse import parse
parse(source)
print(time.process_time() - start)
"""
"""The parser of the package: reads the table, and gives a syntax tree with spans."""

LARK_PARSER = """
from pathlib import Path
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax.lexer import lex
source = Source("spec.arch", Path(SPEC).read_text(encoding="utf-8"))
grammar = Path(GRAMMAR).read_text(encoding="utf-8")
import time
start = time.process_time()
import lark

class Tokens(lark.lexer.Lexer):
    # The language decides by brackets which line ends count, so lark parses the tokens of the package's lexer.
    def __init__(self, configuration):
        pass

    def lex(self, text):
        return (lark.Token(token.kind, token.text) for token in lex(source, DEFAULTS).tokens if token.kind != "$END")

parser = lark.Lark(
    grammar, start="file", parser="lalr", lexer=Tokens, maybe_placeholders=True, cache=CACHE
)
parser.parse(source.text)
print(time.process_time() - start)
"""
"""lark's own parser of the same grammar and tokens: gives lark's tree, without spans or checks."""

LARGE = """
network large {
    input image: 3x8x8
    repeat 1000 { repeat 1000 { conv(8, 3x3); bn; relu } }
}
"""

CLASSES = 90
FIELDS = ("name", "value", "span", "doc")


def main() -> None:
    """Prints the figures."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    print(machine())
    _parser(rounds)
    _count(rounds)
    _replay(rounds)
    _tuples(rounds)


def _parser(rounds: int) -> None:
    values = {"SPEC": str(SPEC), "GRAMMAR": str(SPECS.parent / "grammar" / "arch.lark")}
    ours = _program(TABLE_PARSER, values)
    with tempfile.TemporaryDirectory() as folder:
        lark = _program(LARK_PARSER, {**values, "CACHE": False})
        kept = _program(LARK_PARSER, {**values, "CACHE": f"{folder}/grammar.cache"})
        table, analysed, cached = _in_turn(rounds, ours, lark, kept)
    print(
        f"first parse of a process, {SPEC.stem}: {_ms(table)} with the table and the driver; with lark {_ms(cached)} "
        f"if it reads its analysis of the grammar from a cache, {_ms(analysed)} if not, "
        f"ratios {_ratio(cached, table):.0f} and {_ratio(analysed, table):.0f}"
    )


def _count(rounds: int) -> None:
    counted, blind = _in_turn(rounds, _refused(count=True), _refused(count=False))
    print(
        f"a spec of 3,000,000 operators is refused: after {_ms(counted)} by the count before expansion, "
        f"after {_ms(blind)} by expansion up to the limit, ratio {_ratio(blind, counted):.0f}"
    )


def _refused(count: bool) -> Callable[[], float]:
    def run() -> float:
        check_size = expand.check_size
        if not count:
            expand.check_size = lambda *_: None
        start = time.process_time()
        codes = []
        try:
            rx.loads(LARGE)
        except rx.ArchError as problem:
            codes = [diagnostic.code for diagnostic in problem.diagnostics]
        finally:
            expand.check_size = check_size
        taken = time.process_time() - start
        if codes != ["E405"]:
            raise AssertionError("the spec is not refused for its size")
        return taken

    return run


def _replay(rounds: int) -> None:
    for name in ("resnext50_32x4d", "resnext50_32x4d_a"):
        replayed, expanded = _in_turn(rounds, _loaded(name, replay=True), _loaded(name, replay=False))
        nodes = len(rx.load(name).ir.nodes)
        print(
            f"text to graph, {name}, {nodes:,} nodes: {_ms(replayed)} if equal calls of a template are copied, "
            f"{_ms(expanded)} if each is expanded, ratio {_ratio(expanded, replayed):.1f}"
        )


def _loaded(name: str, replay: bool) -> Callable[[], float]:
    def run() -> float:
        call_key = template_calls.call_key
        if not replay:
            template_calls.call_key = lambda *_: object()
        start = time.process_time()
        try:
            rx.load(SPECS / f"{name}.arch")
        finally:
            template_calls.call_key = call_key
        return time.process_time() - start

    return run


def _tuples(rounds: int) -> None:
    ours, typed, frozen = _in_turn(
        rounds,
        _declared("from resnext_dsl.foundation.records import NamedTuple", "class C{}(NamedTuple):"),
        _declared("from typing import NamedTuple", "class C{}(NamedTuple):"),
        _declared("from dataclasses import dataclass", "@dataclass(frozen=True, slots=True)\nclass C{}:"),
    )
    print(
        f"{CLASSES} records of {len(FIELDS)} fields are declared: {_ms(ours)} with the package's named tuples, "
        f"{_ms(typed)} with typing's, {_ms(frozen)} with frozen dataclasses, "
        f"ratios {_ratio(typed, ours):.1f} and {_ratio(frozen, ours):.1f}"
    )


def _declared(imports: str, head: str) -> Callable[[], float]:
    """Declares the classes, compiled beforehand as a module is."""
    fields = "".join(f"    {field}: str\n" for field in FIELDS)
    classes = "".join(f"{head.format(number)}\n{fields}" for number in range(CLASSES))
    opening = compile(imports, "records", "exec")
    program = compile(f"from __future__ import annotations\n{classes}", "records", "exec")

    def run() -> float:
        namespace: dict[str, object] = {"__name__": __name__}
        exec(opening, namespace)
        start = time.process_time()
        exec(program, namespace)
        return time.process_time() - start

    return run


def _program(text: str, values: dict[str, object]) -> Callable[[], float]:
    """Runs a program in a process of its own; its answer is the seconds that it prints."""
    opening = "".join(f"{name} = {value!r}\n" for name, value in values.items())

    def run() -> float:
        done = subprocess.run([sys.executable, "-c", opening + text], check=True, capture_output=True, text=True)
        return float(done.stdout)

    return run


def _in_turn(rounds: int, *runs: Callable[[], float]) -> list[list[float]]:
    """Seconds of each run in each round, after one round that does not count."""
    for run in runs:
        run()
    taken: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, seconds in zip(runs, taken, strict=True):
            seconds.append(run())
    return taken


def _ms(seconds: Sequence[float]) -> str:
    return f"{1000 * statistics.median(seconds):.1f} ms"


def _ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


if __name__ == "__main__":
    main()
