"""Finds the parameters of a network in the numbers of its parts: classes, depths, cardinality, width or channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from resnext_dsl.arch_text.argument_text import value_words
from resnext_dsl.arch_text.block_templates import BlockTemplate
from resnext_dsl.arch_text.skeletons import ParameterNames, mapped
from resnext_dsl.arch_text.stage_plan import PartPlan
from resnext_dsl.arch_text.step_tree import (
    ArgumentFormula,
    Body,
    CallStep,
    GatherStep,
    OperatorStep,
    RepeatStep,
    SplitStep,
    Step,
    all_steps,
    changed_inside,
    fields_of,
)
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import Shape

FEWEST_STAGES = 2
"""Depths and widths are parameters if at least this number of stages have them."""

RESERVED_PARAMETERS = ("classes", "depths", "cardinality", "width", "channels", "resolution")


class NetworkParameters:
    """The parameters of a network, and its parts with names in the place of numbers.

    Attributes:
        parts: The bodies of the parts.
        tails: The bodies of the other outputs.
        values: Name -> default.
    """

    def __init__(
        self,
        plans: Sequence[PartPlan],
        parts: Sequence[Body],
        tails: Sequence[Body],
        templates: Sequence[BlockTemplate],
        kinds: ParameterNames,
    ) -> None:
        self.plans = plans
        self.parts = list(parts)
        self.tails = list(tails)
        self.values: dict[str, Any] = {}
        self._templates = templates
        self._kinds = kinds
        self._classes()
        self._depths()
        self._cardinality()
        self._widths()

    def input_shape(self, shape: Shape) -> tuple[Any, ...]:
        """The shape of the input, with `resolution` for equal sides."""
        if len(shape) < 3 or shape[-1] != shape[-2]:
            return shape
        self.values["resolution"] = shape[-1]
        return (*shape[:-2], "resolution", "resolution")

    def lines(self) -> list[str]:
        """The lines that declare the parameters."""
        return [f"param {name} = {value_words('', value)}" for name, value in self.values.items()]

    def _classes(self) -> None:
        """The features of the last layer, in the last part and in the other outputs."""
        if not self.parts or not self.parts[-1]:
            return
        last = next((step for step in reversed(self.parts[-1]) if _is_layer(step)), None)
        if last is None:
            return
        assert isinstance(last, OperatorStep)
        classes = last.arguments[0]
        self.values["classes"] = classes
        self.parts[-1] = tuple(
            [_with_first(step, classes, "classes") if step is last else step for step in self.parts[-1]]
        )
        for template in self._templates:
            template.body = _with_classes(template.body, classes)
        self.tails = [
            tuple([_with_first(step, classes, "classes") if _is_layer(step) else step for step in tail])
            for tail in self.tails
        ]

    def _depths(self) -> None:
        """The passes of the stages."""
        repeats = {
            place: repeat
            for place, (plan, body) in enumerate(zip(self.plans, self.parts, strict=True))
            if plan.kind == "stage" and (repeat := _only_repeat(body)) is not None
        }
        if len(repeats) < FEWEST_STAGES:
            return
        self.values["depths"] = [repeat.count for repeat in repeats.values()]
        for number, (place, repeat) in enumerate(repeats.items()):
            named = repeat._replace(count=ArgumentFormula(f"depths[{number}]"))
            self.parts[place] = _with_repeat(self.parts[place], repeat, named)

    def _cardinality(self) -> None:
        """The number of groups or paths, if all convolutions with groups have the same."""
        bodies = [*self.parts, *(template.body for template in self._templates)]
        counts = {count for body in bodies for step in all_steps(body) for count in _groups(step)}
        if len(counts) != 1:
            return
        (count,) = counts
        self.values["cardinality"] = count
        name = ArgumentFormula("cardinality")

        def change(body: Body) -> Body:
            return tuple([_with_cardinality(changed_inside(step, change), count, name) for step in body])

        self.parts = [change(body) for body in self.parts]
        for template in self._templates:
            template.body = change(template.body)

    def _widths(self) -> None:
        """The channels of the blocks of the stages: multiples of one width, or a list."""
        first = [
            _first_channels(body, self._kinds)
            for plan, body in zip(self.plans, self.parts, strict=True)
            if plan.kind == "stage"
        ]
        widths = [value for value in first if value is not None]
        if len(widths) < FEWEST_STAGES or len({*widths}) < FEWEST_STAGES:
            return
        base = min(widths)
        name = self._width_name()
        formula: Callable[[int], ArgumentFormula | None]
        if all(value % base == 0 and (value // base) & (value // base - 1) == 0 for value in widths):
            self.values[name] = base
            known = {*widths}

            def formula(value: int) -> ArgumentFormula | None:
                if value not in known:
                    return None
                return (
                    ArgumentFormula(name)
                    if value == base
                    else ArgumentFormula(f"{name} * {value // base}", tight=False)
                )

        elif sorted(widths) == widths:
            listed = sorted({*widths})
            self.values[name] = listed

            def formula(value: int) -> ArgumentFormula | None:
                return ArgumentFormula(f"{name}[{listed.index(value)}]") if value in listed else None

        else:
            return
        for place, plan in enumerate(self.plans):
            if plan.kind == "stage":
                self.parts[place] = self._with_widths(self.parts[place], formula)

    def _width_name(self) -> str:
        """`width` or `channels`, as the first block has it."""
        for plan, body in zip(self.plans, self.parts, strict=True):
            for step in all_steps(body) if plan.kind == "stage" else ():
                if isinstance(step, CallStep) and isinstance(step.template, int):
                    for template in self._templates:
                        if template.number == step.template and template.parameters:
                            return "width" if template.parameters[0].name == "width" else "channels"
        return "channels"

    def _with_widths(self, body: Body, formula: Callable[[int], ArgumentFormula | None]) -> Body:
        """The body with formulas for channels in the calls of templates."""

        def change(kind: str, value: Any, at: Any) -> Any:
            named = formula(value) if kind == "channels" and type(value) is int else None
            return value if named is None else named

        result: list[Step] = []
        for step in body:
            if isinstance(step, CallStep) and isinstance(step.template, int):
                result += mapped((step,), change, lambda value: value, self._kinds)
            else:
                result.append(changed_inside(step, lambda inner: self._with_widths(inner, formula)))
        return tuple(result)


def _calls(body: Body) -> bool:
    """Whether a body calls templates of the text, beside those in its repeats."""
    return any(isinstance(step, CallStep) and isinstance(step.template, int) for step in body)


def _only_repeat(body: Body) -> RepeatStep | None:
    """The one repeat of a stage that has no other blocks."""
    steps = [one for step in body for one in (step.body if isinstance(step, GatherStep) else (step,))]
    repeats = [step for step in steps if isinstance(step, RepeatStep)]
    return repeats[0] if len(repeats) == 1 and not _calls(tuple(steps)) else None


def _with_repeat(body: Body, repeat: RepeatStep, named: RepeatStep) -> Body:
    """The body with a repeat replaced."""
    return tuple(
        [
            named
            if step is repeat
            else step._replace(body=_with_repeat(step.body, repeat, named))
            if isinstance(step, GatherStep)
            else step
            for step in body
        ]
    )


def _is_layer(step: Step) -> bool:
    return isinstance(step, OperatorStep) and OPERATORS[step.operator].multiplies and type(step.arguments[0]) is int


def _with_first(step: Any, value: int, name: str) -> Any:
    """The step with a name for its first argument, if that has the value."""
    if step.arguments[0] != value:
        return step
    return step._replace(arguments=(ArgumentFormula(name), *step.arguments[1:]))


def _with_classes(body: Body, classes: int) -> Body:
    """The body with `classes` for the features of linear layers that have as many."""
    result: list[Step] = []
    for step in body:
        if isinstance(step, OperatorStep) and step.operator == "linear":
            result.append(_with_first(step, classes, "classes"))
        else:
            result.append(changed_inside(step, lambda inner: _with_classes(inner, classes)))
    return tuple(result)


def _groups(step: Step) -> list[int]:
    """The number of groups or equal paths of a step, if it is a number; not for depthwise convolutions."""
    if isinstance(step, SplitStep) and type(step.count) is int and step.count > 2:
        return [step.count]
    place = _place_of_groups(step)
    if place < 0:
        return []
    arguments: tuple[Any, ...] = step.arguments  # type: ignore[union-attr]
    groups = arguments[place]
    if type(groups) is int and groups > 1 and groups not in (arguments[0], step.here):  # type: ignore[union-attr]
        return [groups]
    return []


def _place_of_groups(step: Step) -> int:
    if isinstance(step, OperatorStep) and step.operator == "conv":
        return fields_of("conv").index("groups")
    return 3 if isinstance(step, CallStep) and step.template == "conv_bn_act" else -1


def _with_cardinality(step: Any, count: int, name: ArgumentFormula) -> Any:
    if not _groups(step):
        return step
    if isinstance(step, SplitStep):
        return step._replace(count=name)
    place = _place_of_groups(step)
    return step._replace(arguments=(*step.arguments[:place], name, *step.arguments[place + 1 :]))


def _first_channels(body: Body, kinds: ParameterNames) -> int | None:
    """The number of channels of the first call of a template that has one such argument."""
    for step in all_steps(body):
        if isinstance(step, CallStep) and isinstance(step.template, int):
            pairs = zip(kinds(step.template), step.arguments, strict=True)
            channels = [value for kind, value in pairs if kind == "channels"]
            if len(channels) == 1 and type(channels[0]) is int and channels[0] > 0:
                return channels[0]
    return None
