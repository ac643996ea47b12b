"""Random split-transform-merge networks: nested, unequal, strided, with and without bias and norm."""

from __future__ import annotations

import random
from dataclasses import dataclass

from sides_of_specs import of_rank

from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.networks.loading import loads
from resnext_dsl.networks.network import Network

NORMS = ("", "; bn", "; bn(eps=1e-3)", "; groupnorm(2)", "; layer_scale(0.5)")
ACTS = ("", "; relu", "; silu", "; leaky_relu(0.1)", "; prelu(per_channel=true)", "; identity", "; scale(0.5)")
POOLS = (
    *("maxpool(3x3, stride=1)", "maxpool(2x2, stride=1, padding=same_upper)", "avgpool(3x3, stride=1)"),
    *("blur_pool(3x3, stride=1)", "fixed_conv([[1, 0.3, -1]])", "dropout(0.0)"),
)


@dataclass(slots=True)
class Writer:
    """Writes one network."""

    source: random.Random

    def network(self) -> str:
        """The text of a network of a few stages, each with a split."""
        pick = self.source
        lines = ["network net {", f"    input image: {pick.choice((4, 8))}x8x8"]
        lines.append(f"    stem {{ conv({pick.choice((8, 16))}, 3x3); bn; relu }}")
        for number in range(pick.randint(1, 2)):
            passes = " repeat 2" if pick.random() < 0.3 else ""
            lines.append(f"    stage s{number}{passes} {{ {self.stage()} }}")
        lines += ["    head { avgpool(global); flatten; linear(4) }", "}"]
        return "\n".join(lines)

    def stage(self) -> str:
        """A split, on its own or as a residual."""
        split = self.split(0)
        roll = self.source.random()
        if roll < 0.3:
            return f"residual {{ {split}; conv(8, 1x1); bn }}; relu"
        return f"{split}{self.source.choice(('; bn; relu', '; relu', '; conv(8, 1x1)', ''))}"

    def split(self, depth: int) -> str:
        """A split of equal paths, of paths on slices, or of listed ones."""
        pick = self.source
        merge = pick.choice(("add", "add", "concat", "concat", "mean", "maximum", "mul"))
        roll = pick.random()
        if roll < 0.5:
            return f"split {pick.choice((2, 4))} {{ {self.path(depth, 8, merge)} }} merge {merge}"
        if roll < 0.75:
            return f"split {pick.choice((2, 4))} slice {{ {self.path(depth, 8, merge)} }} merge {merge}"
        one = self.path(depth, 8, merge)
        others = [one if pick.random() < 0.6 else self.path(depth, 8, merge) for _ in range(pick.randint(1, 2))]
        listed = " ".join(f"path {{ {path} }}" for path in (one, *others))
        return f"split {pick.choice(('', 'slice '))}{{ {listed} }} merge {merge}"

    def path(self, depth: int, channels: int, merge: str) -> str:
        """The statements of one path, which ends in a number of channels."""
        pick = self.source
        steps = [self.step(depth) for _ in range(pick.randint(0, 2))]
        bias = ", bias=true" if pick.random() < 0.2 else ""
        kernel = pick.choice(("1x1", "3x3", "1x3"))
        groups = ", groups=2" if pick.random() < 0.1 else ""
        transform = pick.choice(("", "", ", standardize=true", ", standardize=scaled")) if kernel == "3x3" else ""
        last = f"conv({channels}, {kernel}{bias}{groups}{transform})"
        tail = pick.choice(NORMS) + pick.choice(ACTS) if merge == "concat" or pick.random() < 0.3 else ""
        return "; ".join([*steps, last + tail])

    def step(self, depth: int) -> str:
        """One step inside a path."""
        pick = self.source
        roll = pick.random()
        if depth < 2 and roll < 0.2:
            return self.split(depth + 1)
        if roll < 0.3:
            return pick.choice(POOLS)
        if roll < 0.4:
            return f"residual {{ conv(channels_here, 3x3){pick.choice(NORMS)} }}"
        if roll < 0.45:
            gate = "avgpool(global); conv(channels_in, 1x1, bias=true); sigmoid"
            return (
                f"conv(4, 1x1); split {{ path {{ identity }} path {{ {gate.replace('channels_in', '4')} }} }} merge mul"
            )
        stride = ", stride=2" if roll < 0.5 and depth == 0 else ""
        channels = pick.choice((4, 4, 8, 6))
        return f"conv({channels}, {pick.choice(('1x1', '3x3'))}{stride}){pick.choice(NORMS)}{pick.choice(ACTS)}"


def drawn(seed: int, rank: int = 2) -> Network:
    """A random network on images, signals or clips; drawn again until its shapes fit."""
    source = random.Random(seed)
    while True:
        try:
            return loads(of_rank(Writer(source).network(), rank))
        except ArchError:
            continue
