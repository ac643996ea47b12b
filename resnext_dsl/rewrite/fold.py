"""Rules for inference: they compute with weights, so that a network rewritten by them is not for training.

A comment above each rule states it as `before -> after`, with its side conditions. A rule takes a node and returns the
number of operators that became one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.algebra import ChannelFactors
from resnext_dsl.operators.ranks import Sides, rank_of
from resnext_dsl.operators.rules import pads_by_size, reach, resolved_padding
from resnext_dsl.rewrite.join import weight_layout
from resnext_dsl.rewrite.rewrite_report import Fired, RewriteReport
from resnext_dsl.rewrite.workspace import Workspace

Rule = Callable[[Workspace, int], int]
"""(graph, node) -> the number of operators that became one; 0 if the rule does not apply."""


def remove_training(work: Workspace, report: RewriteReport) -> None:
    """Drop the outputs that exist in training only."""
    names = work.outputs(training_only=True)
    if names:
        for name in sorted(names):
            report.fire(Fired(name, ("training_output_removed",), 1, work.scopes[name].span))
        work.drop_outputs(names)


def fold(work: Workspace, report: RewriteReport) -> None:
    """Apply the rules to every node, in the order of execution."""
    _apply(work, report, (baked,))  # the other rules are about plain convolutions
    _apply(work, report, RULES)


def _apply(work: Workspace, report: RewriteReport, rules: Sequence[Rule]) -> None:
    for index in list(work.live()):
        for rule in rules:
            if work.alive[index] and work.nodes[index].operator != "input":
                fired = Fired.of(work, index, (rule.__name__,), 1)
                count = rule(work, index)
                if count:
                    report.fire(fired._replace(number=count))


# dropout(x)  ->  x
# where it is not the result of a part
def inactive(work: Workspace, index: int) -> int:
    """An operator that returns its input in eval mode is replaced by the input."""
    node = work.nodes[index]
    if OPERATORS[node.operator].algebra.acts == "always" or work.pinned(index):
        return 0
    work.replace(index, node.inputs[0])
    return 1


# conv(x; W, standardize)  ->  conv(x; standardized W)
def baked(work: Workspace, index: int) -> int:
    """A convolution with standardized weights becomes a plain one."""
    node = work.nodes[index]
    attributes: Any = node.attributes
    if node.operator != "conv" or not attributes.standardize:
        return 0
    plain: dict[str, Any] = {name: attributes.fields[name] for name in ("standardize", "gain", "gamma", "eps")}
    convolution = work.make("conv", attributes.replaced(**plain), node.inputs, index, index)
    sources = [(index, tensor.field) for tensor in work.tensors(index) if tensor.field != "bias"]
    work.step("standardized", sources, [(convolution, "weight")], attributes.eps, attributes.gamma)
    if attributes.bias:
        work.step("share", [(index, "bias")], [(convolution, "bias")], 1)
    work.replace(index, convolution)
    return 1


# bn(conv(x; W, b))  ->  conv(x; factor * W, factor * b + shift);   scale and layer_scale likewise
# where nothing else reads the convolution, and it is not the result of a part
def folded(work: Workspace, index: int) -> int:
    """An operator with a factor and a shift for each channel becomes part of the multiplier before it."""
    factors = _factors(work, index)
    if factors is None:
        return 0
    before = work.nodes[index].inputs[0]
    multiplier = work.nodes[before]
    layout = weight_layout(multiplier.operator)
    if layout is None or work.reader(before) != index:
        return 0
    old: Any = multiplier.attributes
    biased = old.bias or factors.shifts
    scaled = work.make(multiplier.operator, old.replaced(bias=biased), multiplier.inputs, before, before)
    _compute(work, index, factors)
    sources = [(before, "weight"), (index, "factor")]
    targets = [(scaled, "weight")]
    if biased:
        sources += [(index, "shift"), *([(before, "bias")] if old.bias else [])]
        targets += [(scaled, "bias")]
    work.step("scaled", sources, targets, layout.output_axis, getattr(old, "groups", 1))
    work.replace(index, scaled)
    return 2


def _factors(work: Workspace, index: int) -> ChannelFactors | None:
    """The factor and shift of each channel, if a node does nothing else in eval mode."""
    node = work.nodes[index]
    row = OPERATORS.get(node.operator)  # the input of a network has no row
    rule = None if row is None else row.algebra.factors
    return None if rule is None else rule(node.attributes, node.shape[0])


def _compute(work: Workspace, index: int, factors: ChannelFactors) -> None:
    """Computes the factor and the shift of a node from its tensors."""
    sources = [(index, tensor.field) for tensor in work.tensors(index)]
    work.step(factors.formula, sources, [(index, "factor"), (index, "shift")], *factors.arguments)


class Term(NamedTuple):
    """A linear function of a value as a convolution.

    Attributes:
        node: The operand of the sum.
        kernel: The kernel size of the convolution; 1 on every side for a copy.
        padding: The padding at both ends of each side; None if it depends on the size of the image.
        bias: Whether it adds a number to each channel.
        copies: Whether the operand is the value or its norm; else it is a convolution.
    """

    node: int
    kernel: Sides
    padding: Sides | None
    bias: bool
    copies: bool = False


# add(conv(x; W1), conv(x; W2), bn(x), x, y)  ->  add(conv(x; W1 + W2 + ...), y)
# where strides, dilations and groups are equal, and the kernels have the same centre; if padding depends on the size of
# the image, the kernels have one size
# A smaller kernel is padded with zeros. A norm is a kernel of 1x1 for each channel, and x the kernel that copies it.
def parallel(work: Workspace, index: int) -> int:
    """Parallel linear paths and identities become one convolution (Ding et al., RepVGG, CVPR 2021, Section 3.3)."""
    node = work.nodes[index]
    if node.operator != "add":
        return 0
    for source in dict.fromkeys(_source(work, index, value) for value in node.inputs):
        terms = _terms(work, index, source)
        if len(terms) > 1:
            convolution = _summed(work, source, terms)
            rest = [value for value in node.inputs if value not in {term.node for term in terms}]
            result = work.make("add", node.attributes, [convolution, *rest], index, index) if rest else convolution  # type: ignore[arg-type]
            work.replace(index, result)
            return len(terms)
    return 0


def _source(work: Workspace, index: int, value: int) -> int:
    """The value of which an operand of a sum is a linear function; the operand itself if no rule can sum it."""
    node = work.nodes[value]
    factors = _factors(work, value)
    linear = node.operator == "conv" or (factors is not None and factors.shifts)
    return node.inputs[0] if linear and work.reader(value) == index else value


def _terms(work: Workspace, index: int, source: int) -> list[Term]:
    """The operands of a sum that one convolution of a value can replace; none if no convolution is among them."""
    operands = list(work.nodes[index].inputs)
    chosen = [value for value in operands if _source(work, index, value) == source and operands.count(value) == 1]
    convolutions = [value for value in chosen if value != source and work.nodes[value].operator == "conv"]
    if not convolutions:
        return []
    terms = [_convolution(work, value) for value in convolutions]
    largest = max(terms, key=lambda term: math.prod(term.kernel))
    kept = [term for term in terms if _fits(work, term, largest)]
    others = [value for value in chosen if value not in convolutions]
    rank = rank_of(work.nodes[source].shape)
    for value in others:
        copy = Term(value, (1,) * rank, (0,) * rank, value != source, copies=True)
        if _copies(work, source, largest) and _centred(copy, largest):
            kept.append(copy)
    return kept


def _convolution(work: Workspace, value: int) -> Term:
    attributes: Any = work.nodes[value].attributes
    spans = reach(attributes.kernel, attributes.dilation)
    by_size = pads_by_size(attributes.padding, spans, attributes.stride)
    padding = None if by_size else resolved_padding(attributes.padding, spans)
    return Term(value, attributes.kernel, padding, attributes.bias)


def _fits(work: Workspace, term: Term, largest: Term) -> bool:
    one: Any = work.nodes[term.node].attributes
    other: Any = work.nodes[largest.node].attributes
    alike = (one.stride, one.dilation, one.groups) == (other.stride, other.dilation, other.groups)
    plain = max(one.dilation) == 1 or one.kernel == other.kernel
    return alike and plain and _centred(term, largest)


def _centred(term: Term, largest: Term) -> bool:
    """Whether the smaller kernel has the same centre as the larger, on each axis."""
    if term.padding is None or largest.padding is None:
        return term.kernel == largest.kernel and term.padding == largest.padding
    pairs = zip(term.kernel, largest.kernel, term.padding, largest.padding, strict=True)
    return all((big - small) % 2 == 0 and outer - inner == (big - small) // 2 for small, big, inner, outer in pairs)


def _copies(work: Workspace, source: int, largest: Term) -> bool:
    """Whether a kernel that copies its input can be added to a convolution's."""
    node = work.nodes[largest.node]
    attributes: Any = node.attributes
    return max(*attributes.stride, *attributes.dilation) == 1 and node.shape == work.nodes[source].shape


def _summed(work: Workspace, source: int, terms: Sequence[Term]) -> int:
    """One convolution for several terms."""
    largest = max(terms, key=lambda term: (not term.copies, math.prod(term.kernel)))
    attributes: Any = work.nodes[largest.node].attributes
    biased = any(term.bias for term in terms)
    convolution = work.make("conv", attributes.replaced(bias=biased), [source], largest.node, largest.node)
    kernels, biases = [], []
    for number, term in enumerate(terms):
        if not term.copies:
            kernels.append((term.node, "weight"))
            biases += [(term.node, "bias")] if term.bias else []
            continue
        kernels.append((convolution, f"copy{number}"))
        sources, targets = [(largest.node, "weight")], [kernels[-1]]
        if term.bias:
            factors = _factors(work, term.node)
            assert factors is not None
            _compute(work, term.node, factors)
            sources += [(term.node, "factor"), (term.node, "shift")]
            biases.append((convolution, f"shift{number}"))
            targets.append(biases[-1])
        work.step("copying", sources, targets, work.nodes[source].shape[0], attributes.groups)
    work.step("kernels", kernels, [(convolution, "weight")], attributes.kernel)
    if biased:
        work.step("sum", biases, [(convolution, "bias")])
    return convolution


# conv(conv(x; W1, 1x1); W2, 1x1)  ->  conv(x; W2 W1, 1x1);   linear likewise
# where nothing else reads the first, both have no padding and groups 1, and the product takes fewer multiply-adds
def composed(work: Workspace, index: int) -> int:
    """Linear maps in a row become one, if that is cheaper."""
    node = work.nodes[index]
    before = node.inputs[0]
    if node.operator not in ("conv", "linear") or work.nodes[before].operator != node.operator:
        return 0
    if work.reader(before) != index or not (_is_matrix(work, index) and _is_matrix(work, before)):
        return 0
    first: Any = work.nodes[before].attributes
    second: Any = node.attributes
    narrow, middle, wide = work.shapes(before)[0][0], work.nodes[before].shape[0], node.shape[0]
    after, inside = math.prod(node.shape[1:]), math.prod(work.nodes[before].shape[1:])
    if narrow * wide * after >= narrow * middle * inside + middle * wide * after:
        return 0
    changes: dict[str, Any] = {"bias": first.bias or second.bias}
    if node.operator == "conv":
        changes["stride"] = tuple(a * b for a, b in zip(first.stride, second.stride, strict=True))
    product = work.make(node.operator, second.replaced(**changes), work.nodes[before].inputs, index, before)
    sources = [(before, "weight"), (index, "weight")]
    sources += [(i, "bias") for i, each in ((before, first), (index, second)) if each.bias]
    targets = [(product, "weight"), *([(product, "bias")] if changes["bias"] else [])]
    work.step("product", sources, targets, first.bias, second.bias)
    work.replace(index, product)
    return 2


def _is_matrix(work: Workspace, index: int) -> bool:
    node = work.nodes[index]
    if node.operator == "linear":
        return True
    attributes: Any = node.attributes
    padding = resolved_padding(attributes.padding, reach(attributes.kernel, attributes.dilation))
    return bool(max(attributes.kernel) == 1 and max(padding) == 0 and attributes.groups == 1)


RULES: tuple[Rule, ...] = (inactive, folded, parallel, composed)
