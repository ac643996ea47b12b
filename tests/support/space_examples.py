"""Networks whose structure depends on parameters in every way of the language, with values to give these."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

from resnext_dsl.foundation.options import DEFAULTS, Options


class Example(NamedTuple):
    """The body of a network, the values of its parameters, and the text before it.

    Attributes:
        values: What is tried for each parameter; every combination is a candidate.
        closed: Whether all its candidates have a closed form together.
        input: The shape of the input.
        options: The bounds on the size of the spec.
    """

    body: str
    values: dict[str, list[Any]]
    before: str = ""
    closed: bool = True
    input: str = "3x16x16"
    options: Options = DEFAULTS

    @property
    def text(self) -> str:
        """The whole file."""
        return f"{self.before}\nnetwork n {{\n    input image: {self.input}\n{self.body}\n}}\n"

    @property
    def columns(self) -> dict[str, list[Any]]:
        """All combinations, as columns."""
        rows = list(product(*self.values.values()))
        return {name: [row[place] for row in rows] for place, name in enumerate(self.values)}


BLOCK = """
template block(c, stride = 1, act = relu) {
    residual { conv(c, 3x3, stride=stride); bn; act; conv(c, 3x3); bn }
    act
}
"""

REPETITION = {
    "repeat": Example(
        "param n = 2; stem { conv(8, 3x3) }; repeat n { conv(8, 3x3) as y; relu }", {"n": [0, 1, 2, 5, -1]}
    ),
    "nothing but a repeat": Example("param n = 2; repeat n { conv(8, 3x3) }", {"n": [0, 1, 3]}),
    "nothing left anywhere": Example("param n = 2; repeat n { conv(8, 3x3) }", {"n": [0, -1, -2]}),
    "stage counts": Example(
        "param d = [1, 2]; param w = 8; conv(8, 3x3)\n"
        "stage a repeat d[0] { block(w) }\nstage b repeat d[1] { block(w * 2, stride=first(2, 1)) }",
        {"d": [[1, 2], [0, 2], [3, 0], [0, 0], [2, 5]], "w": [8, 12]},
        BLOCK,
    ),
    "repeat as i": Example(
        "param n = 3; param w = 4; repeat n as i { conv(w * (i + 1), 3x3); if i % 2 == 0 { relu } }",
        {"n": [1, 2, 3, 6], "w": [4, 5]},
    ),
    "stage as i": Example(
        "param n = 3; stage s repeat n as i { conv(4 + i, 3x3) } as t; stage u { conv(3, 1x1); concat(s); concat(t) }",
        {"n": [0, 1, 2, 3, 6]},
    ),
    "more passes than operators": Example(
        "param n = 2; conv(4, 1x1); repeat n { let a = 1 }",
        {"n": [1, 1000, 1001]},
        closed=False,
        options=Options(max_nodes=1000),
    ),
    "first and last": Example(
        "param n = 3; param a = 8; repeat n { conv(first(a, last(a * 2, a + 1)), 3x3, stride=first(2, 1)) }",
        {"n": [1, 2, 3, 4], "a": [8, 10]},
    ),
    "repeat in repeat": Example(
        "param n = 2; param m = 2; conv(4, 1x1); repeat n as i { repeat m + i { conv(4 + i, 3x3) } }",
        {"n": [0, 1, 2, 3], "m": [0, 1, 2]},
    ),
    "first of the inner repeat": Example(
        "param n = 2; param m = 2; repeat n { repeat m { conv(first(4, 8), 3x3) }; conv(last(16, 4), 1x1) }",
        {"n": [1, 2, 3], "m": [1, 2, 3]},
    ),
    "repeat of nothing": Example("param n = 2; conv(4, 1x1); repeat n { let a = 1 }", {"n": [0, 3, 2500]}),
    "empty stages": Example("param n = 2; conv(4, 1x1); stage s repeat n { }", {"n": [0, 3, 2500]}),
    "too many passes": Example("param n = 2; conv(4, 1x1); repeat n { relu }", {"n": [1, 2, 10**7, 10**18]}),
    "a repeat that shrinks": Example(
        "param n = 2; repeat n { conv(8, 3x3, padding=valid, stride=2) }", {"n": [1, 2, 3, 4, 9]}
    ),
    "count from the shape": Example(
        "param r = 16; param w = 8; conv(w, 3x3, stride=r // 8); repeat shape_here[1] // 4 { conv(channels_here + 1, 3x3) }",
        {"r": [8, 16, 32], "w": [8, 9]},
        input="3 x r x r",
    ),
    "for over a list": Example(
        "param ws = [4, 8]; for w in ws { conv(w, 3x3, stride=first(2, 1)); bn }; conv(2, 1x1)",
        {"ws": [[4, 8], [4], [], [8, 4, 12], [5, 5], [4, 0]]},
    ),
    "for over equal lengths": Example(
        "param ws = [4, 8]; param s = 1; for w in ws { conv(w, 3x3, stride=s) }",
        {"ws": [[4, 8], [8, 4], [5, 5], [4, 0]], "s": [1, 2]},
    ),
    "for over rows": Example(
        "param rows = [[1, 4], [2, 8]]; for n, c in rows { repeat n { conv(c, 3x3) } }; conv(2, 1x1)",
        {"rows": [[[1, 4], [2, 8]], [[0, 4], [3, 6]], [[2, 7]], [], [[1, 2, 3]], [[1, 4], [2, 0]]]},
    ),
    "for over a range": Example(
        "param n = 3; for i in range(1, n) { conv(4 * i, 3x3) }; conv(2, 1x1)", {"n": [0, 1, 2, 5]}
    ),
    "for over a shape": Example("param k = 3x5; for i in k { conv(i, i) }", {"k": [(3, 5), (1, 1), (2, 7)]}),
    "for over shapes of all lengths": Example(
        "param k = 3x5; for i in k { conv(i, 3x3) }", {"k": [(3, 5), (1, 1, 4), (2, 7)]}
    ),
}

CHOICES = {
    "if": Example("param f = true; conv(8, 3x3); if f { conv(4, 3x3) }; bn", {"f": [True, False]}),
    "else if": Example(
        "param n = 1; param w = 8; if n == 0 { conv(w, 3x3) } else if n == 1 { conv(w, 1x1) } else if n > 4 { identity }"
        " else { conv(2 * w, 3x3); bn }; relu",
        {"n": [0, 1, 2, 5], "w": [8, 16]},
    ),
    "a branch that fails inside a branch": Example(
        "param a = 1; param b = 1; conv(3, 1x1); if a > 1 { if b > 1 { conv(4, 1x1); conv(0, 1x1) } else { conv(a, 1x1) } }; relu",
        {"a": [1, 2, 3], "b": [0, 1, 2, 3]},
    ),
    "if without a value": Example("param n = 1; conv(8, 3x3); if n > 1 { }", {"n": [0, 1, 2]}),
    "a condition that is no bool": Example(
        "param n = false; conv(8, 3x3); if 1 if n else true { bn }", {"n": [True, False]}
    ),
    "conditional expressions": Example(
        "param n = 1; param f = true; conv(8 if n > 1 else 4 if f else 2, 3x3 if f else 1x1)",
        {"n": [0, 1, 2], "f": [True, False]},
    ),
    "logic": Example(
        "param a = true; param b = true; param n = 4\n"
        "if a and (b or n > 4) and not (n == 3) { conv(8, 3x3) } else { conv(4, 1x1) }",
        {"a": [True, False], "b": [True, False], "n": [3, 4, 5]},
    ),
    "logic that guards": Example("param n = 4; conv(8 if n > 0 and 8 // n > 1 else 4, 1x1)", {"n": [0, 1, 4, 8]}),
    "if on the shape": Example(
        "param s = 1; param w = 8; conv(w, 3x3, stride=s); if shape_here[1] == 16 and channels_here > 8 { bn } else { relu }",
        {"s": [1, 2], "w": [8, 16]},
    ),
    "map or features": Example(
        "param f = true; conv(8, 3x3); if f { avgpool(global); flatten; linear(10) }",
        {"f": [True, False]},
        closed=False,
    ),
    "named in one branch": Example(
        "param f = true; conv(8, 3x3); if f { conv(4, 3x3) as v } else { conv(6, 1x1) as v }; conv(2, 1x1); concat(v)",
        {"f": [True, False]},
    ),
    "named again in a branch": Example(
        "param f = true; conv(4, 3x3) as v; if f { conv(4, 3x3) as v }; conv(4, 1x1); add(v); conv(3, 1x1)",
        {"f": [True, False]},
    ),
    "named in one branch only": Example(
        "param f = true; param g = true; conv(8, 3x3); if f { conv(8, 1x1) as v }; if g { add(v) }",
        {"f": [True, False], "g": [True, False]},
    ),
    "names of other shapes": Example(
        "param f = true; conv(8, 3x3); if f { conv(4, 3x3) as v } else { conv(6, 1x1, stride=2) as v }; use v; conv(2, 1x1)",
        {"f": [True, False]},
    ),
    "named in a repeat": Example(
        "param n = 2; param g = true; conv(8, 3x3); repeat n as i { conv(8, 3x3) as v; relu }; if g { conv(8, 1x1); add(v) }",
        {"n": [0, 1, 2, 3], "g": [True, False]},
    ),
    "named and dropped": Example(
        "param f = true; conv(8, 3x3) as v; conv(4, 1x1); if f { conv(6, 1x1) as v }; use v", {"f": [True, False]}
    ),
    "never used": Example(
        "param f = true; conv(8, 3x3) as v; conv(4, 1x1); conv(5, 1x1); if f { use v }; relu", {"f": [True, False]}
    ),
    "wrong and never used": Example(
        "param s = 1; conv(8, 3x3) as v; conv(8, 3x3, stride=s); add(v); use v", {"s": [1, 2]}
    ),
}

VALUES = {
    "operators": Example(
        "param act = relu; param w = 8; conv(w, 3x3); act; conv(4, 1x1)",
        {"act": ["relu", "silu", "bn", "bn(eps=1e-3)", "maxpool(2x2)", "conv(5, 3x3)", "conv"], "w": [8, 9]},
    ),
    "templates": Example(
        "param unit = basic; param w = 8; conv(w, 3x3); repeat 2 { unit(w) }; unit(w, 2)",
        {"unit": ["basic", "wide", "wide(extra=3)", "conv(kernel=3x3)", "relu"], "w": [8, 9]},
        "template basic(c, stride=1) { conv(c, 3x3, stride=stride); bn }\n"
        "template wide(c, stride=1, extra=2) { conv(c * extra, 1x1); basic(c, stride) }",
    ),
    "equal operators": Example(
        "param act = relu; conv(8 if act == relu else 4 if act != silu else 2, 1x1); act",
        {"act": ["relu", "silu", "gelu"]},
    ),
    "strings": Example(
        'param mode = "nearest"; param pad = "same"; conv(8, 3x3, padding=pad); upsample(2, mode=mode)',
        {"mode": ["nearest", "bilinear", "cubic"], "pad": ["same", "valid"]},
    ),
    "kinds of shortcuts": Example(
        "param kind = auto; param w = 8; param s = 1; conv(8, 3x3); residual(shortcut=kind) { conv(w, 3x3, stride=s); bn }",
        {"kind": ["auto", "projection", "pad", "skip", "none"], "w": [4, 8, 16], "s": [1, 2, 3]},
    ),
    "shapes": Example(
        "param k = 3x3; param p = same; conv(8, k, padding=p); conv(k[0], 1 x k[1])",
        {"k": [(3, 3), (1, 5), (2, 2)], "p": ["same", "valid", "none"]},
    ),
    "floats": Example(
        "param m = 1.0; param e = 1e-5; param w = 24; conv(divisible(w * m, 8), 3x3); bn(eps=e); dropout(m - 0.9)",
        {"m": [1.0, 0.5, 1.4, 0.25, 3, 1.9], "e": [1e-5, 1e-3, 0.0, -1.0], "w": [24, 33, 1, 0]},
    ),
    "bools": Example(
        "param b = true; param w = 8; conv(w, 3x3, bias=b); bn(affine=not b); avgpool(3x3, stride=2, ceil=b)",
        {"b": [True, False], "w": [8, 3]},
    ),
    "lists of lists": Example(
        "param rows = [[1, 2], [3, 4]]; conv(rows[0][1] * rows[1][0], 1x1); conv(sum([a + b for a, b in rows]), 3x3)",
        {"rows": [[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[1, 2], [3, 0]]]},
    ),
    "lists of floats": Example(
        "param ms = [0.5, 1.0]; for m in ms { conv(round(16 * m), 3x3) }", {"ms": [[0.5, 1.0], [1.5, 2.0], [0.01, 1.0]]}
    ),
    "an index": Example(
        "param i = 0; param ws = [4, 8, 12]; conv(ws[i], 3x3); conv((3x5x7)[i], 1x1)",
        {"i": [0, 1, 2, 3, -1, -3, -4], "ws": [[4, 8, 12], [5, 6, 7], [5, 6, 0]]},
    ),
    "an index of lists of lists": Example(
        "param i = 0; let rows = [[4, 1], [8, 3]]; conv(rows[i][0], rows[i][1])", {"i": [0, 1, 2, -1]}
    ),
    "a parameter from a parameter": Example(
        "param w = 8; param v = w * 2; param u = 1 if w > 8 else 2; let t = v + u; conv(t, 3x3); conv(v, u)",
        {"w": [4, 8, 16], "u": [1, 2, 3]},
    ),
    "a default of two types": Example(
        "param f = true; param v = 8 if f else 1.5; conv(round(v), 1x1)", {"f": [True, False]}
    ),
    "a float of an int": Example(
        "param f = true; param v: float = 1 if f else 2.5; conv(round(v * 4), 1x1)",
        {"f": [True, False], "v": [1, 2.5, 3]},
    ),
    "text that reads a parameter": Example(
        "param w = 8; param act = relu; conv(w, 3x3); act; conv(4, 1x1)",
        {"w": [0, 4, 8], "act": ["relu", "conv(w, 3x3)", "conv(8 // w, 3x3)"]},
    ),
}

ARITHMETIC = {
    "division": Example(
        "param a = 7; param b = 2; conv(a // b + a % b + round(a / b), 1x1)",
        {"a": [7, -7, 12, 0, 100], "b": [2, -3, 0, 1, 5]},
    ),
    "division by zero in a dead branch": Example(
        "param b = 2; conv(8 // b if b != 0 else 3, 1x1); if b > 0 { conv(16 // b, 1x1) }", {"b": [0, 1, 2, 16]}
    ),
    "division of floats": Example(
        "param a = 7.5; param b = 2.0; conv(round(a // b + a % b + a / b) + 1, 1x1)",
        {"a": [7.5, -7.5, 0.0, 1e300, 0.1], "b": [2.0, -0.3, 0.0, 1e-300, 0.1]},
    ),
    "power": Example(
        "param a = 2; param b = 3; conv(round(a ** b), 1x1); conv(2 ** b if b > 0 else 3, 1x1)",
        {"a": [2, 0, -2, 3, 10], "b": [3, 0, -1, -2, 7]},
    ),
    "power of floats": Example(
        "param a = 2.0; param b = 0.5; conv(round(a ** b) + 1, 1x1)",
        {"a": [2.0, 0.0, -2.0, 1e200, 9.0], "b": [0.5, 2.0, -1.0, 0.0]},
    ),
    "roots": Example("param a = 16; conv(round(sqrt(a)) + round(log2(a)), 1x1)", {"a": [16, 1, 0, -4, 17, 2**40]}),
    "rounding": Example(
        "param x = 2.5; conv(round(x) + 9, 1x1); conv(floor(x) + 9, 1x1); conv(ceil(x) + 9, 1x1); conv(abs(round(x)) + 1, 1x1)",
        {"x": [2.5, 3.5, -2.5, 0.49999999999999994, 1e3, -8.0, 2]},
    ),
    "divisible": Example(
        "param x = 33.0; param d = 8; conv(divisible(x, d), 1x1)",
        {"x": [33.0, 1.0, 12.0, 100.7, -5.0], "d": [8, 1, 0, -8, 3]},
    ),
    "divisible of ints": Example(
        "param x = 33; param d = 8; conv(divisible(x, d), 1x1)", {"x": [33, 1, 12, 0], "d": [8, 1, 6]}
    ),
    "extremes": Example(
        "param a = 3; param b = 4.5; param l = [1, 2]\n"
        "conv(max(a, 4, l[0]) + min(l) + sum(l) + max(l), 1x1); conv(round(max(a, b)) + abs(min(a, -2)), 1x1)",
        {"a": [3, 5, -1], "b": [4.5, 5.0, 5.5], "l": [[1, 2], [9, 3]]},
    ),
    "extremes of nothing": Example("param l = [1, 2]; conv(max(l), 1x1)", {"l": [[1, 2], [], [9]]}),
    "lists": Example(
        "param l = [1, 2]; param n = 3; conv(len(l) + count(l, n) + len(range(n)) + sum([x for x in l if x > n] + [1]), 1x1)",
        {"l": [[1, 2], [3, 3], [9, 4], [3], []], "n": [0, 1, 3, -1]},
    ),
    "comprehensions": Example(
        "param n = 3; param w = 4; let cs = [w * i for i in range(n) if i % w != 1]; for c in cs { conv(c + 1, 1x1) }; conv(2, 1x1)",
        {"n": [0, 1, 4], "w": [2, 3, 4]},
    ),
    "comparison of types": Example(
        "param n = 3; param x = 3.0; conv(8 if n == x else 4, 1x1); conv(8 if [n, x] == [3, 3.0] else 4, 1x1); conv(5 if n == true else 6, 1x1)",
        {"n": [1, 3, 4], "x": [3.0, 4.0, 0.5]},
    ),
    "functions": Example(
        "param w = 8; param m = 1.5; conv(scaled(w), 1x1); conv(twice(scaled(w)) if w > 4 else 3, 1x1)\n"
        "fn scaled(c) = divisible(c * m, 8)",
        {"w": [0, 4, 8, 33], "m": [1.5, 0.3, 2.0]},
        "fn twice(x) = x * 2 if x < 40 else x\n",
    ),
    "a function that fails": Example("param w = 8; conv(part(w), 1x1)", {"w": [0, 4, 8]}, "fn part(x) = 64 // x\n"),
    "not an int": Example("param w = 2; conv(w / 2 if w > 3 else w, 1x1)", {"w": [2, 3, 4]}),
    "an int at times": Example("param w = 8; conv(w // 2 if w % 2 == 0 else w / 2, 1x1)", {"w": [2, 3, 4]}),
    "large and larger": Example("param a = 1; conv(a, 3x3)", {"a": [1, 2**31 - 1, 2**31, 2**62]}),
    "a condition on the running value, and a branch that changes it": Example(
        "param w = 4; conv(w, 1x1); if channels_here == 4 { conv(16, 3x3); conv(8, 1x1) } else { conv(channels_here, 3x3) }",
        {"w": [4, 8, 12]},
    ),
    "conditions on the running value inside each other": Example(
        "param w = 4; conv(w, 1x1); repeat 2 { if channels_here < 6 { conv(6, 1x1); conv(9, 1x1) } else if channels_here == 9 "
        "{ conv(5, 1x1); bn } else { if channels_here == 8 { relu; conv(4, 1x1); bn } else { bn; conv(channels_here, 1x1) } } }",
        {"w": [4, 8, 9, 12]},
    ),
    "overflow in the result": Example("param a = 1; conv(a, 3x3); conv(a, 3x3)", {"a": [1, 2**16, 2**30, 2**31 - 1]}),
    "overflow on the way": Example(
        "param a = 1; param b = 3; let p = a * a * b; conv(p // a // a, 1x1)",
        {"a": [1, 2**16, 2**30, 2**31, 2**62], "b": [3, 4, 5]},
    ),
    "overflow of a sum": Example(
        "param a = 1; param b = 1; conv(a, 1x1); linear_head(b)",
        {"a": [1, 2**30], "b": [1, 2**31 - 1]},
        "template linear_head(n) { repeat 40 { conv(2147483647, 1x1); conv(n, 1x1) } }\n",
    ),
    "overflow of what is the same": Example(
        "param a = 1; conv(2147483647, 2147483647x2147483647); conv(a, 3x3)", {"a": [1, 2, 3]}
    ),
    "overflow of floats": Example(
        "param x = 1.0; param n = 2; conv(8 if x * 1e200 * x > 5.0 else n, 1x1)",
        {"x": [1.0, 1e-300, 1e200, -1e150], "n": [2, 3]},
    ),
    "large floats": Example(
        "param x = 1.0; conv(8 if x > 1e25 else 4, 1x1); conv(8 if x == 1e30 else 4, 1x1)", {"x": [1.0, 1e30, 1e24]}
    ),
    "large floats and ints": Example(
        "param x = 1.0; conv(8 if x > 10 ** 20 else 4, 1x1); conv(8 if 2 ** 65 < x else 4, 1x1)",
        {"x": [1.0, 1e30, 1e20]},
    ),
    "nan and infinity": Example(
        "param x = 1.0; conv(4 if x > 0 else 8, 1x1); conv(round(x) if x < 3 else 2, 1x1); conv(max(2, 3) if max(x, 1.0) == x else 5, 1x1)",
        {"x": [1.0, float("nan"), float("inf"), float("-inf")]},
    ),
    "infinity in a sum": Example(
        "param x = 1.0; conv(4 if x + 1 > 0 else 8, 1x1)", {"x": [1.0, float("nan"), float("inf"), 1e308]}
    ),
    "smallest ints": Example(
        "param a = 1; conv(abs(a) % 7 + 1, 1x1); conv(-a % 5 + 1, 1x1)", {"a": [1, 1 - 2**63, 2**63 - 1, -3]}
    ),
    "more digits than allowed": Example("param a = 1; conv(8 if a ** 5 > 7 else 4, 1x1)", {"a": [1, 2, 10**4, 10**7]}),
}

OPERATORS = {
    "a convolution": Example(
        "param c = 8; param k = 3; param s = 1; param g = 1; conv(12, 3x3); conv(c, k, stride=s, groups=g, bias=true)",
        {"c": [8, 12, 0], "k": [1, 2, 3, 5], "s": [1, 2, 3], "g": [1, 2, 3, 4, 0]},
    ),
    "padding and dilation": Example(
        "param k = 3; param p = 1; param d = 1; conv(4, k, padding=p, dilation=d)",
        {"k": [1, 3, 4, 9, 17], "p": [0, 1, 2, -1], "d": [1, 2, 3, 0]},
    ),
    "kernels larger than the input": Example(
        "param k = 3; param r = 16; conv(4, k, padding=valid)", {"k": [3, 16, 17], "r": [8, 16, 17]}, input="3 x r x r"
    ),
    "the resolution": Example(
        "param r = 16; param s = 2; conv(4, 3x3, stride=s); avgpool(3x3, stride=2); maxpool(2x2); flatten; linear(10)",
        {"r": [1, 4, 7, 16, 0, -3], "s": [1, 2, 4]},
        input="3 x r x (r + 1)",
    ),
    "features": Example(
        "param f = 8; linear(f); relu; linear(f * 2, bias=false); layernorm", {"f": [1, 8, 0]}, input="f"
    ),
    "an input of two kinds": Example(
        "param s = 3x8x8; relu; identity",
        {"s": [(3, 8, 8), (1, 2, 3), (3, 8), (3, 0, 8), (7,)]},
        input="s",
        closed=False,
    ),
    "pooling": Example(
        "param k = 2; param s = 2; param c = false; conv(4, 1x1); maxpool(k, stride=s, ceil=c); avgpool(k, ceil=c, padding=0)",
        {"k": [1, 2, 3, 5], "s": [1, 2, 3], "c": [True, False]},
    ),
    "global or not": Example(
        "param k = 0; conv(4, 1x1); avgpool(global if k == 0 else k, padding=0); conv(4, 1x1)", {"k": [0, 1, 3, 17]}
    ),
    "shuffles and scales": Example(
        "param g = 2; param u = 2; conv(16, 1x1); shuffle(g); pixel_shuffle(g); upsample(u); conv(4, 1x1); adaptive_avgpool(u)",
        {"g": [1, 2, 3, 4, 5], "u": [1, 2, 7]},
    ),
    "slices": Example(
        "param a = 0; param b = 4; conv(8, 1x1); slice(a, b); conv(2, 1x1)", {"a": [0, 1, 4, -1], "b": [4, 8, 9, 1]}
    ),
    "transposed": Example(
        "param s = 2; param p = 1; param o = 0; conv_transpose(4, 3x3, stride=s, padding=p, output_padding=o)",
        {"s": [1, 2, 3], "p": [0, 1, 20], "o": [0, 1, 2]},
    ),
    "normalisation": Example(
        "param g = 2; param a = true; conv(12, 1x1); groupnorm(g); bn(affine=a); layernorm; instancenorm(affine=a)",
        {"g": [1, 2, 5, 12], "a": [True, False]},
    ),
}

SPLITS = {
    "a count": Example(
        "param n = 4; param d = 2; conv(16, 1x1); split n { conv(d, 3x3); bn; relu } merge add; conv(4, 1x1)",
        {"n": [0, 1, 2, 4, 9, -1], "d": [1, 2, 0]},
    ),
    "a count and concat": Example(
        "param n = 4; split n as i { conv(i + 1, 3x3) } merge concat; conv(4, 1x1)", {"n": [1, 2, 5]}
    ),
    "slices": Example(
        "param n = 4; param w = 16; conv(w, 1x1); split n slice { conv(4, 3x3) } merge concat",
        {"n": [1, 2, 3, 4], "w": [12, 16, 8]},
    ),
    "slices of paths": Example(
        "param w = 16; conv(w, 1x1); split slice { path { conv(4, 3x3) }; path { identity } } merge concat",
        {"w": [8, 9, 16]},
    ),
    "paths": Example(
        "param a = 4; param b = 4; param s = 1; split { path { conv(a, 1x1) }; path { conv(b, 3x3, stride=s) } } merge add",
        {"a": [4, 8], "b": [4, 8], "s": [1, 2]},
    ),
    "paths under conditions": Example(
        "param f = true; param w = 8; conv(w, 1x1)\n"
        "split { path { conv(8, 3x3) }; if f { path { bn } } else if w == 4 { path { relu }; path { conv(8, 1x1) } } } merge add",
        {"f": [True, False], "w": [4, 8, 10]},
    ),
    "paths under conditions that all fail": Example(
        "param f = true; conv(8, 1x1); split { if f { path { bn } } } merge add", {"f": [True, False]}
    ),
    "paths in loops": Example(
        "param n = 2; param k = [3, 5]; conv(8, 1x1)\n"
        "split { for size in k { path { conv(4, size) } }; repeat n as i { if i > 0 { path { conv(i * 4, 1x1) } } } } merge concat",
        {"n": [0, 1, 2, 4], "k": [[3, 5], [1], [3, 5, 7]]},
    ),
    "slices of stated widths": Example(
        "param w = [2, 6]; param c = 8; conv(c, 1x1); split w slice as i { conv(w[i] * 2, 3x3) } merge concat",
        {"w": [[2, 6], [1, 1, 6], [8], [4, 5], [0, 8]], "c": [8, 9]},
    ),
    "slices of stated widths and paths": Example(
        "param a = 2; conv(8, 1x1); split [a, 8 - a] slice { path { conv(4, 3x3) }; path { bn } } merge concat",
        {"a": [1, 2, 7, 8, 9]},
    ),
    "the value that enters a template": Example(
        "param n = 2; param w = 4; conv(8, 1x1); repeat n { dense(w) }; stage s repeat n { conv(w, 1x1); concat(value_in) }",
        {"n": [0, 1, 3], "w": [4, 5]},
        "template dense(g) { conv(g, 3x3); relu; concat(value_in) }",
    ),
    "sizes of other values": Example(
        "param s = 2; param t = 1; param g = 4\n"
        "conv(8, 3x3) as skip; maxpool(s); conv(4, 3x3) as low; resize(skip); concat(skip); crop(low)\n"
        "pad(top=t, left=-t); crop(size=g)",
        {"s": [1, 2, 5], "t": [0, 1, 16], "g": [1, 4, 17]},
    ),
    "residuals under a condition": Example(
        "param f = true; param w = 8; conv(8, 1x1); residual(when=f and channels_here == w) { conv(w, 3x3) }\n"
        "residual(when=f) { conv(8, 3x3) } shortcut { conv(8, 1x1) }",
        {"f": [True, False], "w": [8, 4]},
    ),
    "merges": Example(
        "param m = add; param b = 4; split { path { conv(4, 1x1) }; path { conv(b, 3x3) } } merge m",
        {"m": ["add", "concat", "mul", "mean", "maximum", "relu"], "b": [4, 1, 8]},
    ),
    "merges that differ": Example(
        "param a = 4; param b = 4; conv(8, 1x1); split { path { conv(a, 1x1) }; path { avgpool(global); conv(b, 1x1) } } merge mul",
        {"a": [4, 8, 1], "b": [4, 8, 1]},
    ),
    "splits in splits": Example(
        "param n = 2; param m = 2; conv(8, 1x1)\n"
        "split n as i { split { path { conv(4 + i, 3x3) }; path { split m { conv(2, 3x3) } merge concat } } merge concat } merge concat",
        {"n": [1, 2, 3], "m": [1, 2, 4]},
    ),
    "a path that reads another": Example(
        "param f = true; param w = 4; conv(8, 1x1)\n"
        "split { path { conv(w, 3x3) as v }; path { if f { concat(v) }; conv(4, 3x3) } } merge concat",
        {"f": [True, False], "w": [4, 5]},
    ),
    "a gate": Example(
        "param r = 4; conv(8, 1x1); split { path { identity }; path { avgpool(global); conv(channels_here // r, 1x1); relu; conv(channels_in + 5, 1x1); sigmoid } } merge mul",
        {"r": [1, 2, 8, 9, 0]},
    ),
    "a split in a repeat": Example(
        "param n = 2; param g = 2; conv(8, 1x1); repeat n { split { path { identity }; path { conv(g, 3x3) } } merge concat }",
        {"n": [0, 1, 2, 4], "g": [2, 3]},
    ),
    "named counts": Example(
        "param n = 2; conv(8, 1x1) as a; split n { conv(8, 3x3) as v } merge add; add(v); add(a)", {"n": [1, 2, 3]}
    ),
}

RESIDUALS = {
    kind: Example(
        f"param w = 8; param s = 1; param r = 16; conv(8, 3x3); residual{call} {{ conv(w, 3x3, stride=s); bn }}{own}; relu",
        {"w": [4, 8, 16], "s": [1, 2, 3], "r": [16, 15]},
        input="3 x r x r",
    )
    for kind, call, own in (
        ("auto", "", ""),
        ("identity", "(shortcut=identity)", ""),
        ("projection", "(shortcut=projection)", ""),
        ("pad", "(shortcut=pad)", ""),
        ("skip", "(shortcut=skip)", ""),
        ("own", "", " shortcut { avgpool(s, stride=s); conv(w, 1x1) }"),
    )
}

NETWORKS = {
    "outputs": Example(
        "param n = 2; param w = 4; stage a repeat n { conv(8, 3x3) }\n"
        "output aux when training from a { conv(w, 1x1) }\noutput other { conv(w * 2, 3x3) }\nhead { conv(4, 1x1) }",
        {"n": [0, 1, 2], "w": [4, 5, 0]},
    ),
    "an output of an unused value": Example(
        "param f = true; stage a { conv(8, 3x3) }\nconv(4, 1x1) as v; conv(5, 1x1)\noutput aux when training from v\n"
        "if f { use a }; relu",
        {"f": [True, False]},
    ),
    "an output from a branch": Example(
        "param f = true; conv(8, 3x3); if f { conv(4, 1x1) as v }; output aux when training from v { conv(2, 1x1) }; relu",
        {"f": [True, False]},
    ),
    "an output named like a block of some": Example(
        "param f = false; conv(8, 3x3); if f { unit(8) }; output unit { conv(2, 1x1) }; relu",
        {"f": [True, False]},
        "template unit(c) { conv(c, 3x3); relu }\n",
    ),
    "defaults": Example(
        "param e = 0.5; param b = true; param k = 3; default conv(bias=b, kernel=k); default dropout(p=e); conv(8); dropout; conv(4)",
        {"e": [0.5, 0.1, 1.5], "b": [True, False], "k": [1, 3, 5]},
    ),
    "a default of two kinds": Example(
        "param f = true; default conv(padding=valid if f else 1); conv(8, 3x3); residual { conv(4, 3x3, padding=1) }",
        {"f": [True, False]},
    ),
    "requirements": Example(
        'param w = 8; param n = 2; require w % n == 0, "why"; require w > 3; conv(w, 3x3); conv(w, 3x3, groups=n)',
        {"w": [2, 4, 8, 9], "n": [1, 2, 3, 0]},
    ),
    "requirements that never hold": Example(
        "param w = 8; param n = 2; require w > 2 * n; conv(w, 3x3)", {"w": [2, 1], "n": [1, 2]}
    ),
    "a requirement that is no bool": Example("param w = 8; require true if w > 2 else 1; conv(w, 3x3)", {"w": [2, 4]}),
    "an own domain": Example(
        "param w = 8 in 1..64; param n = 4; conv(w, 3x3); conv(n, 1x1)", {"w": [1, 64, 65, 100], "n": [1, 2]}
    ),
    "a domain from a parameter": Example(
        "param n = 10; param w = 8 in 1..n; conv(w, 3x3)", {"n": [0, 1, 7, 8, 9], "w": [0, 1, 8, 100]}
    ),
    "a default out of its domain": Example(
        "param n = 10; param w = 8 in 1..n; conv(w, 3x3); conv(n, 1x1)", {"n": [0, 1, 7, 8, 9]}
    ),
    "a default out of its steps": Example(
        "param n = 2; param w = 8 in 0..64 step n; param v = 2 in {n, 3 * n, 1}; conv(w, 3x3); conv(n, 1x1)",
        {"n": [-1, 0, 1, 2, 3, 4]},
    ),
    "a budget that cannot be computed": Example(
        "param n = 3; conv(n, 3x3); budget { params <= 1M // (n - 2); flops in 1K..n * 1M }", {"n": [1, 2, 3, 4]}
    ),
    "a budget below zero": Example("param n = 2; conv(n, 3x3); budget { params <= n - 2 }", {"n": [1, 2, 3]}),
    "a budget in between": Example("param n = 2; conv(n, 3x3); budget { params in n..3 }", {"n": [1, 2, 3, 4]}),
    "a budget of another input": Example(
        "param n = 2; conv(n, 3x3); budget small(input=3 x (n - 1) x 8) { params <= 1M }", {"n": [1, 2, 3]}
    ),
    "initialisation": Example(
        "param n = 2; param std = 0.1; conv(n, 3x3); init { conv.weight = normal(std) }",
        {"n": [1, 2], "std": [0.1, 0.0, -1.0]},
    ),
    "templates that call templates": Example(
        "param w = 8; param n = 2; param f = true; conv(w, 1x1); repeat n { outer(w, f) }; outer(w, not f); outer(w + 1, f)",
        {"w": [4, 8], "n": [0, 1, 3], "f": [True, False]},
        "template inner(c, k) { conv(c, k); bn }\n"
        "template outer(c, f) { inner(c, 3x3) as a; if f { inner(c, 1x1) } else { inner(c + 1, 1x1) }; inner(c, 1x1); add(a) }\n",
    ),
    "lets in blocks": Example(
        "param w = 8; param f = true; conv(w, 1x1); stage a { let h = channels_here // 2\n"
        "if f { let h = 3; conv(h, 1x1) } else { let g = h + 1; conv(g, 1x1) }; conv(h, 1x1); repeat 2 { let h = channels_here + 1; conv(h, 1x1) } }",
        {"w": [4, 8, 1], "f": [True, False]},
    ),
    "values as arguments": Example(
        "param w = 8; param f = true; conv(w, 1x1) as a; conv(w, 3x3) as b; join(a if f else b); join(b); join(a)",
        {"w": [4, 8], "f": [True, False]},
        "template join(v) { conv(channels_here, 1x1); add(v); relu }\n",
    ),
    "the value that enters as an argument": Example(
        "param w = 8; conv(w, 1x1); conv(w, 3x3) as b; join(b) as c; use image; conv(w, 1x1); join(b)",
        {"w": [4, 8]},
        "template join(v) { conv(channels_here, 1x1); add(v); relu }\n",
    ),
    "channels that enter": Example(
        "param w = 8; param n = 2; stage a repeat n { conv(channels_in + w, 3x3); conv(channels_here - channels_in + 1, 1x1) }",
        {"w": [4, 8], "n": [0, 1, 3]},
    ),
    "dense": Example(
        "param g = 4; param n = 3; conv(8, 3x3); repeat n { split { path { identity }; path { bn; relu; conv(4 * g, 1x1); conv(g, 3x3) } } merge concat }"
        "; conv(channels_here // 2, 1x1)",
        {"g": [1, 4, 6], "n": [0, 1, 3, 6]},
    ),
    "unet": Example(
        "param w = 4; param d = 1; param r = 16; conv(w, 3x3) as e0; maxpool(2x2); conv(w * 2, 3x3) as e1; repeat d { maxpool(2x2); conv(w * 4, 3x3); upsample(2) }\n"
        "concat(e1); conv(w * 2, 3x3); upsample(2); concat(e0); conv(2, 1x1)",
        {"w": [2, 4], "d": [0, 1, 2, 3], "r": [8, 12, 16]},
        input="3 x r x r",
    ),
    "parts": Example(
        "param w = 8; param n = 2; stem { conv(w, 3x3) as s; relu }; stage a repeat n { conv(w, 3x3) }; add(s); concat(a, stem)\n"
        "head { avgpool(global); flatten; linear(10) }",
        {"w": [4, 8], "n": [0, 1, 2]},
    ),
}


MEETINGS = {
    "a latency's argument": Example(
        "param n = 2; param b = 1; conv(n, 1x1); budget { latency(cpu, b) <= 5ms }", {"n": [1, 2], "b": [0, 1, 2]}
    ),
    "a budget's numbers": Example(
        'param n = 2; param d = "float16"; conv(n, 1x1); budget(dtype=d) { params <= 5; params >= 3 - n }',
        {"n": [1, 2, 4], "d": ["float16", "float32", "int8"]},
    ),
    "an output of one call": Example(
        "param f = true; conv(4, 1x1); if f { bn } else { relu }; output aux { unit(8) }; conv(5, 1x1)",
        {"f": [True, False]},
        "template unit(c) { conv(c, 3x3) }",
    ),
    "one name three times": Example(
        "param f = true; param g = true; conv(4, 1x1) as a; if f { conv(6, 1x1) as a }; if g { conv(7, 1x1) as a }\n"
        "conv(4, 1x1); concat(a); use a; relu",
        {"f": [True, False], "g": [True, False]},
    ),
    "a name of the first path": Example(
        "param k = 2; conv(4, 1x1); split k as i { if i == 0 { conv(4, 3x3) as a } else { add(a) } } merge add; concat(a)",
        {"k": [1, 2, 3]},
    ),
    "a name of some calls": Example(
        "param f = true; param n = 1; repeat n { unit(f) }",
        {"f": [True, False], "n": [0, 1, 2]},
        "template unit(f) { if f { conv(4, 1x1) as a }; conv(4, 1x1); add(a) }",
    ),
    "a name in an expression": Example(
        "param f = true; conv(4, 1x1) as a; if f { conv(5, 1x1) as a }; stage s { let b = a; concat(b) }",
        {"f": [True, False]},
    ),
    "values in a list": Example(
        "param k = 0; conv(4, 1x1) as a; conv(5, 1x1) as b; stage s { let vs = [a, b]; for v in vs { concat(v) }; concat(vs[k]) }",
        {"k": [0, 1, 2]},
    ),
    "a name for a map and for features": Example(
        "param f = true; conv(4, 1x1) as a; if f { relu } else { flatten as a }; conv(2, 1x1) ; if f { concat(a) } else { flatten; concat(a) }",
        {"f": [True, False]},
        closed=False,
    ),
    "a default and a projection": Example(
        "param n = 1; param a = relu; default conv(groups=n); conv(4, 1x1, groups=1); a; residual { conv(6, 1x1) }",
        {"n": [1, 2, 3], "a": ["relu", "bn", "conv(4, 1x1)"]},
    ),
    "a function in a default": Example(
        "param n = 2; param m = f(n); fn f(x) = 8 // x\n conv(m, 1x1)", {"n": [0, 1, 2, 8, 9]}
    ),
    "lists that are made": Example(
        "param ws = [1, 2]; param i = 0; let t = [w * 2 for w in ws] + [3]; for w in t { conv(w, 1x1) }; conv(ws[i] + ws[-1], 1x1)",
        {"ws": [[1], [2, 3], [4, 5, 6]], "i": [0, 1, -1]},
    ),
    "shortcuts inside shortcuts": Example(
        "param w = 4; param s = 1; param n = 2; conv(8, 1x1)\n"
        "repeat n { residual { residual { conv(w, 3x3, stride=first(s, 1)) }; residual { conv(8, 1x1) } } shortcut { avgpool(first(s, 1), stride=first(s, 1)) } }",
        {"w": [4, 8], "s": [1, 2], "n": [1, 2, 3]},
    ),
}

ALL = {
    f"{group}: {name}": example
    for group, examples in {
        "repetition": REPETITION,
        "choices": CHOICES,
        "values": VALUES,
        "arithmetic": ARITHMETIC,
        "operators": OPERATORS,
        "splits": SPLITS,
        "residuals": RESIDUALS,
        "networks": NETWORKS,
        "meetings": MEETINGS,
    }.items()
    for name, example in examples.items()
}
