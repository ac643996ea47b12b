"""The tool that plants mistakes: its changes, its sample, its verdicts on a package of two functions."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest

from tests.mutation.__main__ import arguments, changed_modules
from tests.mutation.coverage_map import CoverageMap, MapStore, digest, likely_first
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.sampling import all_mutants, few_modules, folder_of, module_paths, sampled, shares
from tests.mutation.table import table
from tests.mutation.verdicts import BUDGET, Results, Verdict, budget_of, equivalents

CHECKOUT = Path(__file__).parents[2]


def changes(source: str) -> set[str]:
    return {mutant.mutated for mutant in mutants_of(dedent(source), "m.py")}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = a >= b", {"x = a > b", "x = a < b"}),
        ("x = a == b", {"x = a != b"}),
        ("x = a is not b", {"x = a is b"}),
        ("x = a not in b", {"x = a in b"}),
        ("x = a + b", {"x = a - b"}),
        ("x = a // b", {"x = a * b"}),
        ("x += y", {"x -= y", "pass"}),
        ("x = a and b", {"x = a or b", "x = a", "x = b"}),
        ("x = not a", {"x = a"}),
        ("x = -a", {"x = a"}),
        ("x = 0", {"x = 1"}),
        ("x = 1", {"x = 0", "x = 2"}),
        ("x = True", {"x = False"}),
        ("x = a if b else c", {"x = a", "x = c", "x = c if b else a"}),
        ("x = f(a, b)", {"x = f(b, a)"}),
        ("x = f(a, *b)", set()),
        ("x = f(a=b)", {"x = f()"}),
        ("x = min(a)", {"x = max(a)"}),
        ("x = any(a)", {"x = all(a)"}),
        ("x = sorted(a, key=b)", {"x = list(a)", "x = sorted(a)"}),
        ("x = reversed(a)", {"x = list(a)"}),
        ("x = a[b:c]", {"x = a[:c]", "x = a[b:]"}),
        ("x = [a for a in b if c]", {"x = [a for a in b]"}),
        ("x = {a: d for a in b if c}", {"x = {a: d for a in b}"}),
        ("f(a)", {"pass"}),
        ("a.b = c", {"pass"}),
        ("raise a", {"pass"}),
        ("def f():\n    return a", {"return None"}),
        ("def f():\n    return a, b", {"return None", "return a"}),
        ("def f():\n    return False", {"return True"}),
        ("def f(a=1):\n    pass", {"0", "2"}),
        ("while a:\n    break", {"continue"}),
        ("for a in b:\n    continue", {"break"}),
        ("if a or b:\n    pass", {"a and b", "a", "b"}),
        ("match a:\n    case b if c == d:\n        pass", {"c != d"}),
        ("with f(a, b):\n    pass", {"f(b, a)"}),
        ("x = (\n    1,\n    -a,\n)", {"0", "2", "a"}),
        ("x = {\n    1: -a,\n}", {"a"}),
    ],
)
def test_an_operator_makes_its_mutants(source: str, expected: set[str]) -> None:
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Text of 1 module."""',
        "import a.b",
        "x: Literal[1]",
        "Number = int | float",
        "Seed = Literal[1, 2]",
        '__all__ = ["a"]',
        '__slots__ = ("a", "b")',
        "assert a == 1",
        "@cached(1, 2)\ndef f(a: Literal[1]) -> Literal[2]:\n    pass",
        "if TYPE_CHECKING:\n    x = 1",
        'x = error("E1", f"{a + 1} is above {b - 1}", span, hint=c)',
        "x = RuleError(a, b)",
        "x = isinstance(a, b | c)",
    ],
)
def test_no_mutants_of_what_no_test_could_tell(source: str) -> None:
    assert changes(source) == set()


def test_a_mutant_changes_its_part_and_nothing_else() -> None:
    source = dedent(
        """
        # größer: text of two bytes a letter stands before the part
        class Rule:
            limit: int = 3

            def holds(self, é, n):
                if (
                    é < n  # a comment
                    and n
                ):
                    return "ü", n + 1
                return None
        """
    )
    mutants = mutants_of(source, "m.py")
    assert {(mutant.function, mutant.lines[0]) for mutant in mutants} == {
        ("Rule", 4),
        ("Rule.holds", 8),
        ("Rule.holds", 10 + 1),
    }
    whole = ast.dump(ast.parse(source))
    for mutant in mutants:
        changed = mutant.applied(source.encode()).decode()
        assert ast.dump(ast.parse(changed)) != whole
        assert ast.unparse(ast.parse(changed)) == ast.unparse(ast.parse(source)).replace(
            mutant.original, mutant.mutated, 1
        )


def test_every_mutant_of_a_module_of_the_package_can_be_parsed() -> None:
    path = CHECKOUT / "resnext_dsl" / "columns" / "arithmetic.py"
    source = path.read_bytes()
    mutants = mutants_of(source.decode(), "arithmetic.py")
    assert len(mutants) > 100
    for mutant in mutants[::7]:
        ast.parse(mutant.applied(source))


MODULES = [
    ("resnext_dsl/columns/a.py", "\n".join(f"x{i} = {i} + a" for i in range(60))),
    ("resnext_dsl/costs/b.py", "\n".join(f"x{i} = a == b" for i in range(30))),
    ("resnext_dsl/costs/c.py", "x = a < b < c < d"),
]
MUTANTS = [mutant for path, text in MODULES for mutant in mutants_of(text, path)]


def test_a_sample_depends_on_its_seed_alone() -> None:
    sample = sampled(MUTANTS, 40, seed=0)
    assert {*sample} == {*sampled(MUTANTS[::-1], 40, seed=0)}
    assert {*sample} != {*sampled(MUTANTS, 40, seed=1)}
    statements = Counter(mutant.key[:3] for mutant in sample)
    assert len(sample) == len(statements) == 40


def test_a_folder_has_the_same_mutants_in_a_larger_sample() -> None:
    of_costs = [mutant for mutant in sampled(MUTANTS, 40, seed=0) if folder_of(mutant.path) == "costs"]
    alone = [mutant for mutant in MUTANTS if folder_of(mutant.path) == "costs"]
    assert sampled(alone, 31, seed=0)[: len(of_costs)] == of_costs


def test_a_change_of_one_statement_leaves_the_rest_of_a_sample() -> None:
    path, text = MODULES[0]
    kept = {mutant.key for mutant in sampled(mutants_of(text, path), 20, seed=0)}
    changed = {mutant.key for mutant in sampled(mutants_of(f"y = a < b\n{text}", path), 20, seed=0)}
    assert len(kept & changed) >= 19


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ({"a": 10, "b": 30}, 4, {"a": 1, "b": 3}),
        ({"a": 1, "b": 99}, 100, {"a": 12, "b": 88}),
        ({"a": 1, "b": 1, "c": 1}, 2, {"a": 1, "b": 1, "c": 0}),
        ({"a": 5}, 7, {"a": 7}),
    ],
)
def test_shares_follow_the_sizes_and_leave_no_folder_with_few(
    sizes: dict[str, int], count: int, expected: dict[str, int]
) -> None:
    assert shares(sizes, count) == expected


def test_a_sample_of_changes_is_of_few_modules() -> None:
    paths = module_paths(CHECKOUT, ["costs"])
    drawn = few_modules(CHECKOUT, paths, 12, "0 a")
    assert len(drawn) == 3
    assert drawn == few_modules(CHECKOUT, paths[::-1], 12, "0 a")
    assert len({tuple(few_modules(CHECKOUT, paths, 12, f"0 {letter}")) for letter in "abcdefgh"}) > 1
    assert few_modules(CHECKOUT, ["resnext_dsl/costs/closed_form.py"], 12, "0") == ["resnext_dsl/costs/closed_form.py"]


PACKAGE = {
    "resnext_dsl/__init__.py": "",
    "resnext_dsl/columns/__init__.py": "",
    "resnext_dsl/columns/ages.py": """
        def is_adult(age):
            return age >= 18

        def down(number):
            while number > 3:
                number -= 1
            return "small"
        """,
    "tests/columns/test_ages.py": """
        from resnext_dsl.columns.ages import down, is_adult

        def test_ages():
            assert is_adult(30) and not is_adult(3)

        def test_down():
            assert down(5) == "small"

        def test_that_fails():
            assert is_adult(30) == 3
        """,
    "tests/columns/test_stopped.py": """
        from resnext_dsl.columns.ages import is_adult

        def test_that_is_stopped():
            circle = [open(__file__)]
            circle.append(circle)
            assert is_adult(3)

        def test_after_it():
            assert is_adult(30)
        """,
    "pyproject.toml": """
        [tool.pytest.ini_options]
        markers = ["slow: none"]
        filterwarnings = ["error"]
        """,
}

SCRIPT = """
import json, sys
from pathlib import Path
from tests.mutation import verdicts
from tests.mutation.coverage_map import CoverageMap, MapStore
from tests.mutation.forked import Copy
from tests.mutation.sampling import all_mutants

verdicts.LEAST_TIME = (0.3, 5.0)
root = Path(sys.argv[1])
path = "resnext_dsl/columns/ages.py"
store = MapStore(root / "build", root)
copy = Copy(root, root / "build" / "work")
part = store.remake(copy, "tests/columns/test_ages.py")
assert store.load("tests/columns/test_ages.py") == part
stopped = store.remake(copy, "tests/columns/test_stopped.py")
coverage_map = CoverageMap()
coverage_map.add(part, store.digests)
mutants = [mutant for mutant in all_mutants(root, [path]) if mutant.mutated in sys.argv[2:]]
judged = [verdicts.judge(copy, mutant, coverage_map) for mutant in mutants]
unmeasured = CoverageMap(unmeasured=["tests/columns/test_ages.py"])
again = [verdicts.judge(copy, mutant, unmeasured) for mutant in mutants[:1]]
assert verdicts.failing(copy, list(part["left_out"]), coverage_map) == {*part["left_out"]}
answer = {verdict.mutant.mutated: [verdict.outcome, verdict.reason] for verdict in judged}
print(json.dumps({"again": [verdict.reason for verdict in again], "left_out": part["left_out"], "after": list(stopped["tests"]), "verdicts": answer, "copy": (copy.root / path).read_text()}))
"""


def test_a_planted_survivor_is_reported(tmp_path: Path) -> None:
    for name, text in PACKAGE.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])}
    tests = "tests/columns/test_ages.py::"
    expected = {
        "return age > 18": ["missed", "2 tests pass"],
        "return age < 18": ["noticed", f"{tests}test_ages"],
        "number > 4": ["missed", "2 tests pass"],
        "number += 1": ["timed out", f"{tests}test_down"],
    }
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), *expected]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    module = dedent(PACKAGE["resnext_dsl/columns/ages.py"])
    assert answer["left_out"] == {"tests/columns/test_ages.py::test_that_fails": "failed"}
    assert answer["after"] == ["tests/columns/test_stopped.py::test_after_it"]
    assert answer["copy"] == module == (tmp_path / "resnext_dsl/columns/ages.py").read_text()
    assert answer["verdicts"] == expected
    assert answer["again"] == [f"{tests}test_that_fails"]


def test_tests_of_the_line_come_first_and_one_of_each_function() -> None:
    seconds = {"t.py::a[1]": 0.3, "t.py::a[2]": 0.1, "t.py::b": 0.2, "t.py::c": 0.01, "t.py::d": 9.0}
    part = {
        "tests": {name: [value, value] for name, value in seconds.items()},
        "modules": {"m.py": "x"},
        "lines": {"m.py": {"1": [0, 1, 2], "5": [3, 4]}},
    }
    mutant = Mutant("m.py", "f", 1, (1,), "constant", "0", "1", 0, 1)
    coverage_map = CoverageMap()
    coverage_map.add(part, {"m.py": "x"})
    assert coverage_map.selection(mutant, (10, 1)) == ["t.py::a[2]", "t.py::b", "t.py::a[1]", "t.py::c"]
    assert coverage_map.selection(mutant, (0.25, 0)) == ["t.py::a[2]", "t.py::c"]

    row = Mutant("m.py", "", 9, (9,), "constant", "Row('1')", "Row('2')", 0, 1)
    assert coverage_map.selection(row, (0.4, 0)) == ["t.py::a[1]", "t.py::c"]

    changed = CoverageMap()
    changed.add(part, {"m.py": "y"})
    assert changed.selection(mutant, (10, 10)) == ["t.py::c", "t.py::a[2]", "t.py::b", "t.py::d", "t.py::a[1]"]


def test_a_run_with_a_time_limit_counts_seconds_of_the_clock() -> None:
    part = {
        "tests": {"t.py::waits": [0.1, 9.0], "t.py::works": [0.2, 0.2]},
        "modules": {"m.py": "x"},
        "lines": {"m.py": {"1": [0, 1]}},
    }
    mutant = Mutant("m.py", "f", 1, (1,), "constant", "0", "1", 0, 1)
    coverage_map = CoverageMap()
    coverage_map.add(part, {"m.py": "x"})
    assert coverage_map.selection(mutant, (5, 0)) == ["t.py::waits", "t.py::works"]
    assert coverage_map.selection(mutant, (5, 0), by_clock=True) == ["t.py::works"]
    assert coverage_map.selection(mutant, (10, 0), by_clock=True) == ["t.py::works", "t.py::waits"]


@pytest.mark.parametrize(("share", "budget"), [(14.0, (7.0, 3.0)), (1000.0, BUDGET), (-5.0, (0.7, 0.3))])
def test_the_share_of_a_mutant_is_for_its_start_and_for_tests(share: float, budget: tuple[float, float]) -> None:
    assert budget_of(share) == pytest.approx(budget)


def test_a_part_that_was_measured_for_a_shorter_time_is_measured_again(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("")
    store = MapStore(tmp_path / "map", tmp_path)
    store.folder.mkdir()
    part = {"digest": digest(tmp_path / "test_a.py"), "budget": 8.0}
    store.file_of("test_a.py").write_text(json.dumps(part))
    assert store.load("test_a.py", 8.0) == part
    assert store.load("test_a.py") is None


def test_test_files_that_name_a_module_come_first() -> None:
    files = [f"tests/spaces/{name}.py" for name in ("test_dimensions", "test_moves", "test_solver")]
    assert likely_first(CHECKOUT, files, ["resnext_dsl/spaces/moves.py"])[0] == "tests/spaces/test_moves.py"


def test_an_equivalent_mutant_is_known_by_its_text(tmp_path: Path) -> None:
    before, after = "def f(a):\n    return a > 1\n", "import b\n\n\ndef f(a):\n    return a   >   (1)\n"
    listed = tmp_path / "equivalent.toml"
    listed.write_text(
        dedent(
            """
            [[mutant]]
            path = "m.py"
            function = "f"
            original = "return a > 1"
            mutated = "return a >= 1"
            reason = "no caller passes 1"
            """
        )
    )
    reasons = equivalents(listed)
    for source in (before, after):
        keys = [mutant.key for mutant in mutants_of(source, "m.py")]
        assert [reasons[key] for key in keys if key in reasons] == ["no caller passes 1"]
    elsewhere = [mutant.key for mutant in mutants_of(before.replace("f(", "g(", 1), "m.py")]
    assert not any(key in reasons for key in elsewhere)


def test_every_equivalent_mutant_of_the_list_is_a_mutant_of_the_package() -> None:
    reasons = equivalents()
    paths = sorted({path for path, *_ in reasons})
    known = {mutant.key for mutant in all_mutants(CHECKOUT, paths)}
    assert [key for key in reasons if key not in known] == []
    assert all(len(reason) > 20 for reason in reasons.values())


def verdict(path: str, outcome: str) -> Verdict:
    return Verdict(Mutant(path, "f", 1, (1,), "constant", "0", outcome, 0, 1), outcome)  # type: ignore[arg-type]


def test_the_table_counts_by_folder() -> None:
    syntax, columns = "resnext_dsl/syntax/a.py", "resnext_dsl/columns/b.py"
    outcomes = ["noticed", "noticed", "timed out", "missed", "equivalent"]
    verdicts = [*(verdict(columns, outcome) for outcome in outcomes), verdict(syntax, "noticed")]
    assert table(verdicts).splitlines()[2:] == [
        "| `syntax` | 1 | 1 | 0 | 0 | 0 | 100% |",
        "| `columns` | 5 | 3 | 1 | 1 | 1 | 75% |",
        "| all | 6 | 4 | 1 | 1 | 1 | 80% |",
    ]


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    results = Results(file)
    results.add(verdict("a.py", "missed"))
    results.add(verdict("b.py", "noticed"))
    results.add(verdict("a.py", "missed"))
    again = Results(file)
    assert again.known == results.known
    assert again.known[verdict("b.py", "noticed").mutant.key] == ("noticed", "")


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_changed_modules_with_a_history_and_without(tmp_path: Path) -> None:
    for name in ("columns/a.py", "columns/b.py", "cli/c.py", "columns/notes.md"):
        file = tmp_path / "resnext_dsl" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    assert changed_modules("HEAD~1", tmp_path) == []
    for name in ("columns/a.py", "cli/c.py", "columns/notes.md"):
        (tmp_path / "resnext_dsl" / name).write_text("x = 2\n")
    git(tmp_path, "commit", "-q", "-a", "-m", "second")
    (tmp_path / "resnext_dsl" / "columns" / "b.py").unlink()
    assert changed_modules("HEAD~1", tmp_path) == ["resnext_dsl/columns/a.py"]
    assert changed_modules("HEAD~1", tmp_path.parent) == []


def test_the_options_have_the_defaults_of_the_table() -> None:
    options = arguments([])
    assert (options.sample, options.seed, options.folder, options.changed_since) == (300, 0, None, None)
