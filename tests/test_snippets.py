"""Every snippet of the pages runs as it is printed: in a fresh folder, without anything set up before it.

A block of Python is a program; one marked `fragment` is a part of one. A block of arch is a network that `check` accepts;
one marked `fragment` is a part of a file. Commands of the tool are parsed as the tool parses them, and the cheap ones run.
"""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from pages import CHECKOUT, PAGES, Block, blocks, prose
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import COMMANDS, Commands, app
from resnext_dsl.semantics.spec_files import shipped_names

BLOCKS = [block for page in PAGES for block in blocks(page)]
LANGUAGES = {"", "text", "yaml", "sh", "console", "python", "pycon", "arch"}

CHEAP = {"check", "summary", "solve", "diff", "fmt", "zoo", "compile"}
"""Commands that run; the others train, time, export or search, and are parsed only."""

HEAVY = re.compile(r"\.export\(|\bbench\(|\btrain\(|EVALUATORS|\.search\(|_a\"")
"""Python that takes longer than a quick test may."""

TOOLS = {"git", "bash", "cd", "tar", "ray", "ruff", "mypy", "lint-imports", "pre-commit"}
"""Programs of others that commands may start."""


def of(*languages: str, mark: str = "") -> list[Any]:
    """The blocks of some languages as parameters of a test."""
    chosen = [block for block in BLOCKS if block.language in languages and block.mark == mark]
    return [pytest.param(block, id=block.place, marks=_slow(block)) for block in chosen]


def _slow(block: Block) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if block.language == "python" and HEAVY.search(block.text) else []


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder that holds the specs of the repository, as a clone does."""
    shutil.copytree(CHECKOUT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CHECKOUT / "specs", tmp_path / "specs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_has_a_language_that_is_tested_or_is_output() -> None:
    unknown = [block.place for block in BLOCKS if block.language not in LANGUAGES]
    marked = [block.place for block in BLOCKS if block.mark not in ("", "fragment")]
    assert not unknown
    assert not marked


# --- Python ---


@pytest.mark.parametrize("block", of("python"))
def test_python_runs(block: Block, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", block.text], cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", of("python", mark="fragment"))
def test_a_fragment_of_python_compiles(block: Block) -> None:
    compile(block.text, block.place, "exec")


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS if block.language == "pycon"}), ids=str)
def test_sessions_print_what_the_page_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sessions of a page are one session, in order."""
    monkeypatch.chdir(tmp_path)
    session = "\n\n".join(block.text for block in blocks(page) if block.language == "pycon")
    test = doctest.DocTestParser().get_doctest(session, {}, page.name, str(page), 0)
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    assert result.attempted > 0
    assert not result.failed, "".join(report)


# --- specs ---


@pytest.mark.parametrize("block", of("arch"))
def test_a_network_passes_check(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.arch").write_text(block.text, encoding="utf-8")
    result = CliRunner().invoke(app, ["check", "page.arch"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("block", of("arch", mark="fragment"))
def test_a_fragment_is_no_whole_network(block: Block) -> None:
    with pytest.raises(rx.ArchError, match=r"error\[E"):
        rx.loads(block.text)


# --- commands ---


class Command(NamedTuple):
    """A command as printed, and where."""

    place: str
    words: list[str]


def commands_of(block: Block) -> list[Command]:
    """The commands of a block of shell: continued lines joined, comments and output left out."""
    text = block.text.replace("\\\n", " ")
    lines = text.splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    parts = [part for line in lines for part in _split(shlex.split(line, comments=True))]
    return [Command(block.place, words) for words in parts if words]


def _split(words: list[str]) -> list[list[str]]:
    """The commands of one line: words between `&&`, without where their output goes."""
    parts: list[list[str]] = [[]]
    for word in words[: words.index(">")] if ">" in words else words:
        if word == "&&":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


SHELL = [command for block in BLOCKS if block.language in ("sh", "console") for command in commands_of(block)]
OURS = [command for command in SHELL if command.words[0] == "resnext-dsl"]
SHOWN = {tuple(each.words[:3]) for block in BLOCKS if block.language == "console" for each in commands_of(block)}
"""Commands with their specs whose output a page shows, so that it is compared."""


def example_of(name: str) -> Command:
    """The example in the help of a command."""
    text = re.search(r"Example: (.*?)\n\n", command_of(name).help + "\n\n", re.DOTALL)
    assert text is not None, f"`{name}` shows no example"
    return Command(f"{name} --help", shlex.split(text[1]))


def command_of(name: str) -> click.Command:
    """A command of the tool."""
    group = Commands(name="resnext-dsl")
    command = group.get_command(click.Context(group), name)
    assert command is not None, f"no command `{name}`"
    return command


EXAMPLES = [example_of(name) for name in COMMANDS]


def context_of(words: list[str]) -> click.Context:
    """The arguments of a command, parsed: unknown options and choices are errors."""
    name, *arguments = words[1:]
    return command_of(name).make_context(name, list(arguments))


def runs(command: Command) -> bool:
    """Whether a command runs here: a cheap one, of specs that a clone has."""
    if command.words[1] not in CHEAP:
        return False
    context = context_of(command.words)
    arguments = [context.params[each.name] for each in context.command.params if isinstance(each, click.Argument)]
    specs = [str(each) for value in arguments if value is not None for each in _several(value)]
    return command.words[1] == "zoo" or all(spec in shipped_names() or (CHECKOUT / spec).exists() for spec in specs)


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


RUNNING = [command for command in [*OURS, *EXAMPLES] if runs(command) and tuple(command.words[:3]) not in SHOWN]


def parameters(commands: list[Command]) -> list[Any]:
    return [pytest.param(command, id=f"{command.place} {' '.join(command.words[1:4])}") for command in commands]


@pytest.mark.parametrize("command", parameters([*OURS, *EXAMPLES]))
def test_a_command_has_options_that_exist(command: Command) -> None:
    if command.words[1] in COMMANDS:
        context_of(command.words)
    else:
        assert command.words[1:] in (["--help"], ["--version"])


@pytest.mark.parametrize("command", parameters(RUNNING))
def test_a_cheap_command_runs(command: Command, checkout: Path) -> None:
    result = CliRunner().invoke(app, command.words[1:])
    exceeds = command.place.endswith("--help")  # an example may show a budget that is exceeded
    assert result.exit_code == 0 or (exceeds and result.exit_code == 1), result.output


@pytest.mark.parametrize("block", of("console"))
def test_a_console_shows_what_its_commands_print(block: Block, checkout: Path) -> None:
    """Output is compared line by line, blanks at the ends left out; a line `...` stands for any lines."""
    for command in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, shown = command.partition("\n")
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        expected, printed = (_trimmed(text) for text in (shown, result.output))
        assert doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS), printed


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


def test_examples_in_help_name_a_spec() -> None:
    assert not [command.place for command in EXAMPLES if {"SPEC", "A", "B"} & set(command.words)]


def test_several_commands_run() -> None:
    assert {command.words[1] for command in RUNNING} | {command for _, command, _ in SHOWN} == CHEAP


def test_installations_are_from_a_checkout() -> None:
    """The package is in no registry, so pages install it from a clone, with extras that exist."""
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installs = [command for command in SHELL if "pip" in command.words[:3]]
    assert installs
    for command in installs:
        source = re.fullmatch(r"\.(?:\[([\w,]+)\])?", command.words[-1])
        assert source is not None, f"{command.place}: {' '.join(command.words)}"
        assert set((source[1] or "").split(",")) - {""} <= set(extras), command.place
    for page in PAGES:
        assert not re.search(r"pip install '?resnext-dsl", page.read_text(encoding="utf-8")), page.name


def test_scripts_and_tools_of_commands_exist() -> None:
    for command in SHELL:
        program, *arguments = command.words
        if program == "python" and arguments[0] == "-m":
            package, _, name = arguments[1].partition(".")
            assert package in ("pytest", "pip", "resnext_dsl", "benchmarks", "tests"), command.place
            is_ours = package in ("benchmarks", "tests")
            assert not is_ours or (CHECKOUT / package / name / "__main__.py").is_file(), command.place
            paths = [word for word in arguments[2:] if word.startswith("tests/")]
            assert all((CHECKOUT / path).exists() for path in paths), command.place
        elif program == "python" and arguments[0] == "-c":
            compile(arguments[1], command.place, "exec")
        elif program == "python":
            assert (CHECKOUT / arguments[0]).is_file(), f"{command.place}: {arguments[0]}"
        else:
            assert program in {"resnext-dsl", "pip", ".ci/run", *TOOLS}, f"{command.place}: {program}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_text_have_options_that_exist(page: Path) -> None:
    for text in re.findall(r"`resnext-dsl ([^`]*)`", prose(page)):
        name, *words = text.replace("\\|", "|").split()
        if name in COMMANDS:
            known = {option for each in command_of(name).params for option in (*each.opts, *each.secondary_opts)}
            unknown = {word.partition("=")[0] for word in words if word.startswith("-")} - known
            assert not unknown, f"`resnext-dsl {text}`: {unknown}"
        else:
            assert name in ("COMMAND", "--version", "--help"), f"`resnext-dsl {text}`"
