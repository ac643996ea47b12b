"""Random networks that use every construct: templates with flags, counts and operators, splits of all sorts, values."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from sides_of_specs import of_rank

from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.networks.loading import loads
from resnext_dsl.networks.network import Network

MERGES = ("add", "mul", "mean", "maximum")
LAYERS = (
    *("bn", "relu", "gelu", "identity", "scale(0.5)", "layernorm", "bn; relu"),
    *("blur_pool(3x3, stride=1, mode=replicate)", "fixed_conv([[0.5, 0.25, -0.5]])"),
)
LARGEST = 600
PARAMETERS = ("c", "c2", "stride", "kernel", "count", "flag", "flag2", "act")


@dataclass(slots=True)
class Writer:
    """Writes one network.

    Attributes:
        source: What decides.
        templates: Name and parameters of each template so far.
        values: How many values have been named.
    """

    source: random.Random
    templates: list[tuple[str, list[str]]] = field(default_factory=list)
    values: int = 0

    def network(self) -> str:
        """The body of a network."""
        pick = self.source
        lines = [self.template(number) for number in range(pick.randint(1, 3))]
        stages: list[str] = []
        for number in range(pick.randint(1, 4)):
            passes = f" repeat {pick.randint(1, 4)}" if pick.random() < 0.5 else ""
            body = self.call([]) if pick.random() < 0.6 else self.body([], 0)
            lines.append(f"    stage st{number}{passes} {{ {body} }}")
            stages.append(f"st{number}")
        if pick.random() < 0.4:
            when = pick.choice(("", "when training "))
            lines.append(f"    output other {when}from {pick.choice(stages)} {{ conv(3, 1x1) }}")
        if pick.random() < 0.7:
            lines.append("    head { avgpool(global); flatten; linear(4) }")
        return "\n".join(lines)

    def template(self, number: int) -> str:
        """A template with some parameters."""
        parameters = self.source.sample(PARAMETERS, self.source.randint(1, 5))
        text = f"    template unit{number}({', '.join(parameters)}) {{ {self.body(parameters, 0)} }}"
        self.templates.append((f"unit{number}", parameters))
        return text

    def call(self, names: list[str]) -> str:
        """A call of a template."""
        template, parameters = self.source.choice(self.templates)
        choices = {
            "c": (self.width(names),),
            "stride": ("1", "1", "2"),
            "kernel": ("1x1", "3x3", "1x3"),
            "count": ("1", "2", "3", "4"),
            "flag": ("true", "false"),
            "act": ("relu", "silu", "gelu"),
        }
        return f"{template}({', '.join(self.source.choice(choices[name.rstrip('2')]) for name in parameters)})"

    def width(self, names: list[str]) -> str:
        """A number of channels."""
        own = [name for name in names if name.startswith("c") and name != "count"]
        return self.source.choice(
            ["4", "8", "16", "channels_here", "channels_in", *own, *own, *(f"{name} * 2" for name in own)]
        )

    def one(self, names: list[str], parameter: str, *others: str) -> str:
        """A parameter of this kind, or one of the others."""
        return self.source.choice(
            [*others, *(name for name in names for _ in range(2) if name.rstrip("2") == parameter)]
        )

    def body(self, names: list[str], depth: int, keep: bool = False, most: int = 3) -> str:
        """Statements; `keep`: none that changes the shape."""
        return "; ".join(self.statement(names, depth, keep) for _ in range(self.source.randint(1, most)))

    def statement(self, names: list[str], depth: int, keep: bool) -> str:
        """One statement, or a few that belong together."""
        simple = [self.convolution, self.layer]
        nested = [self.condition, self.residual, self.split, self.paths, self.repeat]
        free = [self.named, self.crossing, self.growing, self.attended]
        writers = simple + (nested if depth < 3 else []) + ([] if keep else free)
        if self.templates and not keep and self.source.random() < 0.1:
            return self.call(names)
        return self.source.choice(writers)(names, depth, keep)

    def convolution(self, names: list[str], depth: int, keep: bool) -> str:
        channels = "channels_here" if keep else self.width(names)
        groups = self.source.choice(("", ", groups=channels_here")) if channels == "channels_here" else ""
        stride = "" if keep or depth else f", stride={self.one(names, 'stride', '1')}"
        padding = self.source.choice(("", "", ", padding=same_upper"))
        return f"conv({channels}, {self.one(names, 'kernel', '1x1', '3x3')}{groups}{stride}{padding})"

    def layer(self, names: list[str], depth: int, keep: bool) -> str:
        return self.one(names, "act", *LAYERS)

    def condition(self, names: list[str], depth: int, keep: bool) -> str:
        test = self.one(names, "flag", "channels_here == 8")
        other = f" else {{ {self.body(names, depth + 1, True, 2)} }}" if self.source.random() < 0.3 else ""
        return f"if {test} {{ {self.body(names, depth + 1, True, 2)} }}{other}"

    def residual(self, names: list[str], depth: int, keep: bool) -> str:
        kind = self.source.choice(("", "(shortcut=skip)", "(shortcut=projection)"))
        return f"residual{'' if keep else kind} {{ {self.body(names, depth + 1, keep)} }}"

    def split(self, names: list[str], depth: int, keep: bool) -> str:
        merge = self.source.choice(MERGES if keep else (*MERGES, "concat"))
        count = self.one(names, "count", "2", "4")
        if merge == "concat" and self.source.random() < 0.4:
            return f"split 2 slice {{ {self.body(names, depth + 1, True)} }} merge concat"
        return f"split {count} {{ {self.body(names, depth + 1, True)} }} merge {merge}"

    def paths(self, names: list[str], depth: int, keep: bool) -> str:
        bodies = [self.path(names, depth) for _ in range(self.source.randint(2, 3))]
        return f"split {{ {'; '.join(bodies)} }} merge {self.source.choice(MERGES)}"

    def path(self, names: list[str], depth: int) -> str:
        """A path of a split, or paths in a loop or under a condition."""
        body = f"path {{ {self.body(names, depth + 1, True, 2)} }}"
        test, count = self.one(names, "flag", "channels_here == 8", "true"), self.one(names, "count", "2")
        forms = (
            *[body] * 4,
            f"if {test} {{ {body} }} else {{ path {{ bn }}; path {{ relu }} }}",
            f"repeat {count} as j {{ {body}; if j == 1 {{ path {{ value_in_path }} }} }}",
            "for k in [1, 3] { path { conv(channels_here, k) } }",
        )
        return self.source.choice(forms).replace("value_in_path", self.source.choice(("relu", "bn", "identity")))

    def repeat(self, names: list[str], depth: int, keep: bool) -> str:
        return f"repeat {self.one(names, 'count', '2', '3')} {{ {self.body(names, depth + 1, keep)} }}"

    def named(self, names: list[str], depth: int, keep: bool) -> str:
        self.values += 1
        value = f"v{self.values}"
        return self.source.choice(
            (
                f"conv({self.width(names)}, 3x3) as {value}; relu; conv(8, 1x1); concat({value})",
                f"conv(8, 1x1) as {value}; repeat {self.one(names, 'count', '3')} {{ conv(8, 3x3); add({value}); relu }}",
                f"bn as {value}; conv(4, 1x1) as {value}w; use {value}; conv(4, 1x1); add({value}w)",
            )
        )

    def crossing(self, names: list[str], depth: int, keep: bool) -> str:
        self.values += 1
        value, flag = f"v{self.values}", self.one(names, "flag", "true")
        paths = [
            f"path {{ conv(4, 3x3) as {value} }}",
            f"path {{ if {flag} {{ add({value}) }}; conv(4, 3x3) }}",
            f"path {{ if {flag} {{ bn }} }}",
            "path { relu }",
        ]
        return f"conv(16, 1x1); split slice {{ {'; '.join(paths)} }} merge concat"

    def growing(self, names: list[str], depth: int, keep: bool) -> str:
        count = self.one(names, "count", "3")
        return self.source.choice(
            (
                f"repeat {count} {{ split {{ path {{ identity }}; path {{ bn; conv(4, 3x3) }} }} merge concat }}",
                "for t in [4, 8, 12, 16] { conv(t, 1x1); bn }",
                "for t in [4, 20, 12, 16, 8, 4] { conv(t, 1x1) }",
                "split 3 as i { conv(4 * (i + 1), 3x3); relu } merge concat",
                "conv(16, 1x1); split [4, 2, 10] slice as i { conv(4 * (i + 1), 3x3); relu } merge concat",
                "conv(12, 1x1); split [8, 4] slice { path { conv(8, 3x3) }; path { bn } } merge concat",
                f"repeat {count} {{ conv(4, 3x3); concat(value_in) }}" if depth == 0 else "conv(4, 3x3); relu",
            )
        )

    def attended(self, names: list[str], depth: int, keep: bool) -> str:
        """Paths whose channels are weighted against each other, as in SKNet and ResNeSt."""
        self.values += 1
        value, count = f"v{self.values}", self.source.choice((1, 2, 3))
        shuffle = f"; shuffle({count}, unit=4)" if self.source.random() < 0.5 else ""
        return (
            f"conv(8, 1x1); split {count} {{ {self.body(names, depth + 1, True)} }} merge concat as {value}; "
            f"avgpool(global); conv({8 * count}, 1x1{self.source.choice(('', ', groups=2'))}){shuffle}; "
            f"softmax(across={count}); mul({value}); split {count} slice {{ identity }} merge add"
        )


def drawn(seed: int, largest: int = LARGEST, rank: int = 2) -> Network:
    """A random network on images, signals or clips; drawn again until its shapes fit and it is small enough."""
    source = random.Random(seed)
    while True:
        try:
            text = f"network net {{\n    input image: 8x12x12\n{Writer(source).network()}\n}}\n"
            network = loads(of_rank(text, rank))
        except ArchError:
            continue
        widest = max(node.shape[0] for node in network.ir.nodes)
        if len(network.ir.nodes) <= largest and widest <= LARGEST:
            return network
