"""Every bound at its limit and one past it, and texts written to do harm."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from error_examples import net
from hypothesis import given
from hypothesis import strategies as st
from strategies import AS_FOUND, files

import resnext_dsl as rx


def code(text: str, **options: int) -> str:
    """The code of the first error, "" where there is none."""
    try:
        rx.loads(text, options=rx.Options(**options))
    except rx.ArchError as problem:
        return problem.diagnostics[0].code
    return ""


CHAIN = "".join(f"template t{i} {{ t{i - 1}; relu }}\n" for i in range(1, 80)) + "template t0 { relu }\n"
NETWORK = net("conv(8, 3x3); bn; relu")


@pytest.mark.parametrize(
    ("option", "limit", "text", "expected"),
    [
        ("max_source_bytes", len(NETWORK), NETWORK, "E401"),
        ("max_depth", 5, net("conv(((8)), [3, 3][0])".replace("((8))", "(((8)))")), "E402"),
        ("max_digits", 6, net("conv(100000, 1x1)"), "E404"),
        ("max_nodes", 3, NETWORK, "E405"),
        ("max_nodes", 64, net("split 63 { relu } merge add"), "E405"),
        ("max_nodes", 20, net("repeat 4 { repeat 5 as i { conv(i + 1, 1x1) } }"), "E405"),
        ("max_nodes", 12, net("if channels_here == 3 { repeat 12 { relu } }"), "E405"),
    ],
)
def test_a_bound_holds_exactly(option: str, limit: int, text: str, expected: str) -> None:
    assert code(text, **{option: limit}) == ""
    assert code(text, **{option: limit - 1}) == expected


def test_calls_inside_calls_are_bounded() -> None:
    assert code(net("t20", CHAIN)) == ""
    assert code(net("t79", CHAIN)) == "E403"


def test_errors_are_reported_up_to_their_bound() -> None:
    text = net("\n".join(f"bogus{i}" for i in range(30)))
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(text, options=rx.Options(max_errors=7))
    assert len(caught.value.diagnostics) == 7


@pytest.mark.parametrize(
    "line",
    [
        "param p{} = zz{}",
        "let p{} = zz{}",
        "param same = {} + zz{}",
        "default bogus{}(a={})",
        "init {{ bogus{}.b{} = ones }}",
    ],
)
def test_no_stage_looks_for_more_mistakes_than_anybody_reads(line: str) -> None:
    lines = "\n".join(line.format(number, number) for number in range(1000))
    text = f"{lines}\n{NETWORK}" if line.startswith("let") else net(f"relu\n{lines}")
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(text, options=rx.Options(max_errors=10_000))
    assert 200 <= len(caught.value.diagnostics) <= 400


@pytest.mark.parametrize(
    "body",
    [
        "repeat 10**20 { relu }",
        "repeat 10**20 as i { conv(i + 1, 1x1) }",
        "repeat 10**7 as i { repeat 10**7 as j { if i > 0 { conv(i + j + 1, 1x1) } } }",
        "repeat 10**20 { }",
        "split 10**20 { relu } merge add",
        "stage s repeat 10**10 { repeat 10**10 { relu } }",
        "t45",
    ],
)
def test_a_spec_that_would_be_huge_is_refused_before_it_is_expanded(body: str) -> None:
    """In a process of its own with 50 MB of memory to take beyond what the import took."""
    tripling = (
        "".join(f"template t{i} {{ t{i - 1}; t{i - 1}; t{i - 1} }}\n" for i in range(1, 46)) + "template t0 { relu }\n"
    )
    program = (
        "import resource, sys, resnext_dsl as rx\n"
        "rx.loads('network n { input x: 3x8x8; relu }')\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 50 * 2**20,) * 2)\n"
        "try:\n    rx.loads(sys.stdin.read())\n"
        "except rx.ArchError as problem:\n    print(problem.diagnostics[0].code)\n"
    )
    text = net(body, tripling)
    done = subprocess.run([sys.executable, "-c", program], input=text, capture_output=True, text=True, check=True)
    assert done.stdout == "E405\n"


HOSTILE = {
    "nul": ("network n { \0 }", "E001"),
    "lone surrogate": ("network n { \ud800 }", "E001"),
    "round brackets": ("(" * 10**6, "E402"),
    "square brackets": ("[" * 10**6, "E402"),
    "braces": ("{" * 10**6, "E402"),
    "closing brackets": (")" * 10**5, "E003"),
    "brackets left open on every line": ("f(\n" * 10**5, "E402"),
    "brackets left open in braces": ("network n { f( } " * 10**4, "E003"),
    "a name with underscores": (net('__import__("os")'), "E103"),
    "homoglyph": (net("\N{CYRILLIC SMALL LETTER ES}onv(3, 1x1)"), "E001"),
    "tower": (net("conv(9**9**9, 1x1)"), "E404"),
    "endless range": (net("for i in range(10**12) { conv(i, 1x1) }"), "E205"),
    "digits": (net(f"conv({'9' * 10**5}, 1x1)"), "E404"),
    "dimensions": (net(f"conv(3, {'1x' * 10**4}1)"), "E205"),
    "functions that double": (
        net(
            "conv(f40(1), 1x1)",
            "fn f0(x) = x\n" + "".join(f"fn f{i}(x) = f{i - 1}(x) + f{i - 1}(x)\n" for i in range(1, 41)),
        ),
        "E405",
    ),
    "a template given to itself": (net("t(t)", "template t(f) { f(f) }\n"), "E403"),
    "only a comment": ("#" * 2**21, "E401"),
    "nothing": ("", "E504"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_gives_an_error(name: str) -> None:
    text, expected = HOSTILE[name]
    assert code(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + NETWORK,
        NETWORK.replace("\n", "\r\n"),
        NETWORK.replace("\n", "\r"),
        net("let a = " + "1 + " * 20000 + "1\n    conv(a, 1x1)"),
        net("let a = " + "true and " * 20000 + "true\n    if a { relu }"),
        net("let a = " + "1 if 1 == 2 else " * 5000 + "4\n    conv(a, 1x1)"),
        net("let a = 1\n    if a == 0 { relu }" + "".join(f" else if a == {i} {{ relu }}" for i in range(1, 3000))),
        net("relu; " * 10000),
    ],
    ids=["mark", "crlf", "cr", "sum", "and", "conditional", "else if", "statements"],
)
def test_odd_text_works(text: str) -> None:
    assert code(text) == ""


def test_odd_files_give_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "bytes.arch").write_bytes(b"network \xff")
    for path, message in {
        tmp_path / "fifo": "not a regular file",
        tmp_path: "it is a folder",
        Path("/dev/zero"): "not a regular file",
        tmp_path / "bytes.arch": "byte 0xFF is not UTF-8",
        tmp_path / "missing.arch": "there is no file",
    }.items():
        with pytest.raises(rx.ArchError, match=message):
            rx.load(path)


def test_imports_stay_under_the_root(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret.arch").write_text("template t { relu }\n")
    (tmp_path / "inside" / "link.arch").symlink_to(tmp_path / "secret.arch")
    for target in ("../secret.arch", str(tmp_path / "secret.arch"), "link.arch"):
        (tmp_path / "inside" / "n.arch").write_text(net("t", f'import "{target}"\n'))
        with pytest.raises(rx.ArchError, match=r"E502"):
            rx.load(tmp_path / "inside" / "n.arch")
    (tmp_path / "inside" / "n.arch").write_text(net("t", 'import "../secret.arch"\n'))
    assert len(rx.load(tmp_path / "inside" / "n.arch", root=tmp_path).ir.nodes) == 2


@AS_FOUND
@given(st.text(max_size=200))
def test_any_text_gives_a_network_or_an_error(text: str) -> None:
    code(text)


@AS_FOUND
@given(files, st.integers(0, 10**6), st.sampled_from(["", "{", "}", ")", " in ", "=", "\n", "..", '"', "x", "\0"]))
def test_a_broken_file_gives_an_error_and_no_traceback(text: str, place: int, piece: str) -> None:
    cut = place % (len(text) + 1)
    code(text[:cut] + piece + text[cut + 1 :])


def test_a_shipped_name_means_the_network_also_beside_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "resnet18").mkdir()
    monkeypatch.chdir(tmp_path)
    assert rx.load("resnet18").name == "resnet18"


@pytest.mark.parametrize("path", ["a\0b", "\udcff\ud800", "x" * 5000, "", "resnet18\n", "../" * 2000])
def test_odd_paths_give_an_error(path: str) -> None:
    with pytest.raises(rx.ArchError):
        rx.load(path)


PIECES = [
    *("1", "4.1", "g", "k", "3x3", "5ms", "é", "@", ".", "..", "_", '"a"', "true", "x", "1e3", "=", "16MiB", "7x")
]


@pytest.mark.parametrize("first", PIECES)
def test_words_that_are_none_are_errors_wherever_they_stand(first: str) -> None:
    """Broken words of every kind of token: what stands in for them must be of that kind."""
    for rest in itertools.product(PIECES, repeat=2):
        word = first + "".join(rest)
        text = f"network n {{\n input image: 3x8x8\n param p = {word}\n conv({word}, 3x3)\n budget {{ flops <= {word} }}\n}}"
        with contextlib.suppress(rx.ArchError):
            rx.loads(text)
