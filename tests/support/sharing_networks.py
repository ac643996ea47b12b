"""Random networks that share instances of operators and templates: loops, splits, conditions, arguments, nested ones."""

from __future__ import annotations

import random

from random_networks import LARGEST, Writer

from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.networks.loading import loads
from resnext_dsl.networks.network import Network

APPLIED = "    template applied(op, again) { op; bn; if again { op }; relu }"
NESTED = "    template nested(k) { shared inner = conv(channels_here, k); inner; relu; inner; bn }"
PAIR = "    template pair(op, k) { op; conv(channels_here, k); relu; op }"


DECLARED = {
    "count": "param count = 2 in 1..3",
    "flag": "param flag = true in {true, false}",
    "kernel": "param kernel = 3x3 in {1x1, 3x3}",
    "act": "param act = relu in {relu, silu}",
}
"""The parameters of a network with candidates."""


class SharingWriter(Writer):
    """Writes networks in which many statements declare an instance and use it.

    Attributes:
        parameters: The parameters of the network, which its stages read.
        instances: The number of instances so far.
    """

    def __init__(self, source: random.Random, parameters: tuple[str, ...] = ()) -> None:
        super().__init__(source)
        self.parameters = list(parameters)
        self.instances = 0

    def network(self) -> str:
        """The body of a network, with an instance of the network itself that its parts use."""
        lines = [f"    {DECLARED[name]}" for name in self.parameters]
        lines += [APPLIED, NESTED, PAIR, "    conv(8, 3x3)", "    shared whole = conv(8, 3x3, groups=2)"]
        return "\n".join([*lines, super().network()])

    def call(self, names: list[str]) -> str:
        """A call of a template; in a stage, its arguments may be parameters of the network."""
        text = super().call(names)
        swaps = [("3x3", "kernel"), ("true", "flag"), ("relu", "act")]
        for value, parameter in swaps if not names else ():
            text = text.replace(value, parameter) if parameter in self.parameters else text
        return text

    def body(self, names: list[str], depth: int, keep: bool = False, most: int = 3) -> str:
        """Statements, most of them with a use of an instance."""
        names = names or self.parameters
        lines = super().body(names, depth, keep, most)
        return f"{lines}; {self.sharing(names, depth)}" if self.source.random() < 0.5 else lines

    def sharing(self, names: list[str], depth: int) -> str:
        """A declaration and its uses, which keep the shape."""
        self.instances += 1
        name, pick = f"s{self.instances}", self.source.choice
        flag, count = self.one(names, "flag", "true"), self.one(names, "count", "2", "1", "3")
        callee = pick(
            (
                "conv(channels_here, 3x3)",
                f"conv(channels_here, {self.one(names, 'kernel', '1x1', '3x3')}, bias=true)",
                "bn",
                f"nested({self.one(names, 'kernel', '1x1', '3x3')})",
                f"applied(conv(channels_here, 3x3), {flag})",
                self.one(names, "act", "relu"),
            )
        )
        uses = pick(
            (
                f"{name}; {name}",
                f"repeat {count} {{ {name} }}",
                f"repeat {count} {{ {name}; relu }}; {name}",
                f"split 2 {{ {name} }} merge {pick(('add', 'mean'))}",
                f"split {{ path {{ {name}; relu }}; path {{ bn; {name} }} }} merge add",
                f"residual {{ {name}; bn; {name} }}",
                f"if {flag} {{ {name} }}; {name}",
                f"if {flag} {{ {name} }} else {{ bn }}",
                f"applied({name}, {flag}); applied({name}, true)",
                f"shared {name}p = pair({name}, 3x3); {name}p; {name}; {name}p",
                f"split 2 slice {{ bn }} merge concat; {name}; conv(channels_here, 1x1); {name}",
                f"{name} as {name}v; relu; {name}; add({name}v)",
            )
        )
        return f"shared {name} = {callee}; {uses}"

    def convolution(self, names: list[str], depth: int, keep: bool) -> str:
        """A convolution, or the instance of the network if its channels are there."""
        plain = super().convolution(names, depth, keep)
        if names == self.parameters and self.source.random() < 0.3:
            return f"if channels_here == 8 {{ whole }} else {{ {plain} }}"
        return plain


def text_of(seed: int) -> str:
    """The text of a random network; it may have errors of shape."""
    source = random.Random(seed)
    return f"network net {{\n    input image: 8x12x12\n{SharingWriter(source).network()}\n}}\n"


def varied_text(seed: int) -> str:
    """The text of a random network with parameters that have domains."""
    source = random.Random(seed)
    return f"network net {{\n    input image: 8x12x12\n{SharingWriter(source, tuple(DECLARED)).network()}\n}}\n"


def drawn(seed: int, largest: int = LARGEST) -> Network:
    """A random network; drawn again until its shapes fit and it has at most so many nodes."""
    source = random.Random(seed)
    while True:
        try:
            network = loads(text_of(source.randrange(10**9)))
        except ArchError:
            continue
        if len(network.ir.nodes) <= largest and max(node.shape[0] for node in network.ir.nodes) <= 100:
            return network
