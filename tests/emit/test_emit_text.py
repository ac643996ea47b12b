"""Emitted source reads like a good hand-written model file, and has only names and literals of a spec."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from emit_oracle import AGGREGATED, DENSE, INCEPTION, MOBILE, NETWORKS, RESNEXT, UNET, check_equal, network

from resnext_dsl.emit import emit
from resnext_dsl.emit.text.call_layout import broken
from resnext_dsl.networks.loading import load, loads

SPECS = Path(__file__).parents[2] / "specs"


def class_text(source: str, name: str) -> str:
    """The lines of one class."""
    (definition,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name)
    return "\n".join(source.splitlines()[definition.lineno - 1 : definition.end_lineno])


def method_text(source: str, owner: str, name: str) -> str:
    """The lines of one method, moved to the left."""
    text = class_text(source, owner)
    start = text.index(f"    def {name}(")
    end = text.find("\n\n", start)
    return "\n".join(line[4:] for line in text[start : end if end > 0 else len(text)].splitlines())


def test_one_class_serves_all_instances_of_a_template() -> None:
    source = emit(network(RESNEXT))
    assert (
        class_text(source, "Bottleneck")
        == """\
class Bottleneck(nn.Module):
    def __init__(self, in_channels: int, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, groups=4, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        if stride != 1 or in_channels != channels:
            self.shortcut = Chain(
                conv=nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False),
                bn=nn.BatchNorm2d(channels),
            )
        else:
            self.shortcut = nn.Identity()
        self.relu3 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu3(out + self.shortcut(x))"""
    )


def test_stages_are_loops_over_their_blocks() -> None:
    source = emit(network(RESNEXT))
    assert "self.conv2 = nn.Sequential(Bottleneck(8, 16, 8), *(Bottleneck(16, 16, 8) for _ in range(2)))" in source
    assert "self.conv3 = nn.Sequential(Bottleneck(16, 32, 16, stride=2), Bottleneck(32, 32, 16))" in source
    assert (
        method_text(source, "Net", "forward_features")
        == '''\
def forward_features(self, x: Tensor) -> Tensor:
    """The value that enters the head, from a batch of inputs."""
    x = self.stem(x)
    for stage in (self.conv2, self.conv3, self.conv4):
        x = self._stage(stage, x)
    return x'''
    )


def test_equal_paths_are_a_comprehension_and_a_loop() -> None:
    source = emit(network(AGGREGATED))
    assert source.count("nn.Conv2d(in_channels, width, 1, bias=False)") == 1
    assert "            for _ in range(5)\n" in source
    assert (
        method_text(source, "Block", "forward")
        == """\
def forward(self, x: Tensor) -> Tensor:
    paths = iter(self.paths)
    out = next(paths)(x)
    for path in paths:
        out = out + path(x)
    out = self.bn(out)
    return self.relu(out + self.shortcut(x))"""
    )


def test_paths_of_different_topology_are_listed() -> None:
    assert (
        class_text(emit(network(INCEPTION)), "Module")
        == """\
class Module(nn.Module):
    def __init__(self, in_channels: int, n1: int, pool: int) -> None:
        super().__init__()
        self.paths = nn.ModuleList([
            Unit(in_channels, n1),
            Chain(unit1=Unit(in_channels, 4), unit2=Unit(4, 8, kernel=3)),
            Chain(maxpool=nn.MaxPool2d(3, stride=1, padding=1), unit=Unit(in_channels, pool)),
        ])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([path(x) for path in self.paths], 1)"""
    )


def test_optional_layers_and_steps_depend_on_arguments() -> None:
    source = emit(network(MOBILE))
    assert (
        method_text(source, "Block", "__init__")
        == """\
def __init__(
    self,
    in_channels: int,
    c: int,
    expansion: int,
    kernel: int = 5,
    se: bool = True,
    act: type[nn.Module] = nn.ReLU,
    stride: int = 1,
) -> None:
    super().__init__()
    self.has_conv1 = expansion != 1
    self.residual = stride == 1 and in_channels == c
    if self.has_conv1:
        self.conv1 = nn.Conv2d(in_channels, in_channels * expansion, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels * expansion)
        self.act1 = act(inplace=True)
    self.conv2 = nn.Conv2d(
        in_channels * expansion,
        in_channels * expansion,
        kernel,
        stride=stride,
        padding=kernel // 2,
        groups=in_channels * expansion,
        bias=False,
    )
    self.bn2 = nn.BatchNorm2d(in_channels * expansion)
    self.act2 = act(inplace=True)
    self.squeeze = Squeeze(in_channels * expansion) if se else nn.Identity()
    self.conv3 = nn.Conv2d(in_channels * expansion, c, 1, bias=False)
    self.bn3 = nn.BatchNorm2d(c)"""
    )
    assert (
        method_text(source, "Block", "forward")
        == """\
def forward(self, x: Tensor) -> Tensor:
    out = x
    if self.has_conv1:
        out = self.act1(self.bn1(self.conv1(x)))
    out = self.act2(self.bn2(self.conv2(out)))
    out = self.squeeze(out)
    out = self.bn3(self.conv3(out))
    if self.residual:
        out = out + x
    return out"""
    )


def test_growing_widths_are_a_formula_of_the_pass() -> None:
    source = emit(network(DENSE))
    assert "self.dense1 = nn.Sequential(*(Layer(8 + i * 4) for i in range(4)))" in source
    assert "self.dense2 = nn.Sequential(*(Layer(12 + i * 4) for i in range(3)))" in source


def test_values_that_are_read_again_have_names() -> None:
    assert (
        method_text(emit(network(UNET)), "Net", "forward_features")
        == '''\
def forward_features(self, x: Tensor) -> Tensor:
    """The value that enters the head, from a batch of inputs."""
    down1 = self._stage(self.down1, x)
    down2 = self._stage(self.down2, down1)
    x = self._stage(self.bottom, down2)
    x = self._stage(self.up2, x, down2)
    return self._stage(self.up1, x, down1)'''
    )


def test_form_a_of_resnext50_is_as_short_as_form_c() -> None:
    grouped, paths = load("resnext50_32x4d").emit(), load("resnext50_32x4d_a").emit(form="written")
    assert len(load("resnext50_32x4d_a").ir.nodes) > 3000
    assert len(paths.splitlines()) < len(grouped.splitlines()) + 10 < 150


@pytest.mark.parametrize("spec", sorted(path.stem for path in SPECS.glob("*.arch")))
def test_every_shipped_network_is_a_tidy_file(spec: str, tmp_path: Path) -> None:
    source = load(spec).emit()
    assert max(map(len, source.splitlines())) <= 120
    assert source == source.rstrip() + "\n"
    imported = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imported if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in imported if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= {"torch", "typing"}
    if "typing" in names:
        assert "(NamedTuple)" in source


def test_emitted_files_pass_ruff(tmp_path: Path) -> None:
    for name, body in NETWORKS.items():
        (tmp_path / f"{name}.py").write_text(emit(network(body)))
    for path in SPECS.glob("*.arch"):
        (tmp_path / f"spec_{path.stem}.py").write_text(load(path).emit())
    rules = "A,B,C4,E,F,I,PIE,RET,RUF,SIM,UP,W"
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--no-cache",
        "--line-length",
        "120",
        "--select",
        rules,
    ]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_text_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "import hashlib; from resnext_dsl.networks.loading import load\n"
        "names = 'googlenet', 'mobilenetv3_large_100', 'res2net50_26w_4s', 'unet'\n"
        "print(hashlib.sha256(''.join(load(name).emit() for name in names).encode()).hexdigest())\n"
    )
    digests = set()
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_emitting_imports_no_torch() -> None:
    program = "import sys, resnext_dsl; resnext_dsl.load('unet').emit(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


HOSTILE = '''\
## __import__("os").system("touch /tmp/owned") """ \\\\
network warning {
    ## """ + exec("1") + """
    input lambda_: 3x8x8
    # \'\'\' + open("x") + \'\'\'
    param text = "\\"); __import__(\\"os\\")"
    template exception(self_, torch_, i, super = 1) { conv(self_, 1x1); split torch_ { conv(i * super, 1x1) } merge add; relu }
    template chain(nn, F) { conv(nn, 1x1); exception(8, F, 4); chain2 }
    template chain2() { conv(4, 1x1) as x; bn; add(x) }
    template tensor(list, range) { repeat range { conv(list, 1x1); bn } }
    stem { conv(8, 3x3) as x; relu; add(x) }
    stage print { chain(8, 2); chain(16, 3) }
    stage forward { tensor(4, 2); tensor(8, 3) }
    stage named_tuple repeat 2 { exception(4, 2, 4); exception(8, 2, 8, 2) }
    require text != ""
    head { avgpool(global); flatten; linear(2) }
}
'''


def test_nothing_of_a_spec_gets_in_but_names_and_literals() -> None:
    graph = loads(HOSTILE).ir
    source = emit(graph)
    for forbidden in ("__import__", "exec", "open(", "owned", "lambda", "touch"):
        assert forbidden not in source
    assert [line for line in source.splitlines() if line.startswith("class ")] == [
        "class Chain(nn.Sequential):",
        "class Stem(nn.Module):",
        "class Chain2(nn.Module):",
        "class Exception_(nn.Module):",
        "class Chain_(nn.Module):",
        "class Tensor_(nn.Module):",
        "class Warning_(nn.Module):",
    ]
    check_equal(graph)


def test_the_source_runs_where_this_package_is_not(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(emit(network(INCEPTION)))
    program = (
        "import sys, torch; sys.modules['resnext_dsl'] = None\n"
        "import model\n"
        "net = model.Net()\n"
        "print(type(net(torch.zeros(2, 8, 12, 12))).__name__, tuple(net.eval()(torch.zeros(2, 8, 12, 12)).shape))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "NetOutput (2, 10)\n"


def test_long_statements_are_broken_at_their_brackets() -> None:
    stages = "\n".join(
        f"stage stage{n} {{ conv(8, 1x1) }} output out{n} when training from stage{n}" for n in range(12)
    )
    graph = network(f"{stages}\nhead {{ concat({', '.join(f'stage{n}' for n in range(12))}); conv(4, 1x1) }}")
    assert max(map(len, emit(graph).splitlines())) <= 120
    check_equal(graph)


@pytest.mark.parametrize(
    ("words", "default"),
    [
        (["relu"] * 5 + ["silu"] * 3, " = nn.ReLU"),
        (["relu"] * 3 + ["silu"] * 5, " = nn.SiLU"),
        (["relu"] * 2 + ["silu"] * 2 + ["gelu"] * 1, ""),
        (["relu"] * 4 + ["silu"] * 3 + ["gelu"] * 2, ""),
    ],
)
def test_a_class_that_at_least_half_of_the_calls_pass_is_the_default(words: list[str], default: str) -> None:
    stages = "\n".join(f"    stage s{place} {{ unit({word}) }}" for place, word in enumerate(words))
    text = loads(
        f"template unit(act) {{ conv(8, 1x1); bn; act }}\nnetwork n {{\n    input image: 8x8x8\n{stages}\n}}\n"
    ).emit()
    assert f"def __init__(self, act: type[nn.Module]{default}) -> None:" in text


def test_a_long_group_is_no_tuple() -> None:
    """A comma behind the one value in brackets, where a line breaks, would make a tuple of it."""
    line = f"x = {'value * ' * 8}(({' + '.join(['another_value'] * 8)}) / 4)"
    namespace = {"value": 1.0, "another_value": 0.5}
    exec("\n".join(broken(line)), namespace)
    assert namespace["x"] == 1.0
    call = f"x = max({', '.join(['another_value'] * 12)})"
    assert "\n".join(broken(call)).endswith(",\n)")
