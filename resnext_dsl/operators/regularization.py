"""Dropout and stochastic depth, which act in training only."""

from collections.abc import Mapping
from typing import Annotated, Any

from resnext_dsl.operators.algebra import RANDOM
from resnext_dsl.operators.arguments import Fraction, NumberBound
from resnext_dsl.operators.base import Attributes, ModuleCall, Shape
from resnext_dsl.operators.memory_rules import MemoryRules, Saved, ScalarCount, TrainingStep, is_view_in_inference
from resnext_dsl.operators.ranks import by_rank
from resnext_dsl.operators.readings import CallArguments, Reading
from resnext_dsl.operators.row import Operator
from resnext_dsl.operators.rules import elements, first_shape, keywords, map_of, no_parameters


class Dropout(Attributes):
    """Attributes of `dropout` and `dropout2d`.

    Attributes:
        p: Probability that an element or channel becomes zero.
    """

    p: Fraction = 0.5


class DropPath(Attributes):
    """Attributes of `drop_path`.

    Attributes:
        p: Probability that a sample becomes zero.
    """

    p: Annotated[float, NumberBound("at least", 0), NumberBound("less than", 1)]


def _dropout_source(attributes: Dropout, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall("nn.Dropout", (attributes.p,))


def _dropout2d_shape(attributes: Dropout, inputs: tuple[Shape, ...]) -> Shape:
    return map_of("dropout2d", inputs)


def _dropout2d_source(attributes: Dropout, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall(by_rank("nn.Dropout", inputs[0]), (attributes.p,))


def _drop_path_source(attributes: DropPath, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall("DropPath", (attributes.p,), keywords(dimensions=(len(inputs[0]), 3)))


def _dropout_view(attributes: Dropout, inputs: tuple[Shape, ...], training: bool) -> bool:
    return not training or attributes.p == 0


def _mask(attributes: Dropout, size: int) -> Saved:
    # At p = 0 torch keeps nothing, at p = 1 a single zero.
    return Saved(extra=ScalarCount((attributes.p > 0) * (size if attributes.p < 1 else 1)))


def _dropout_saves(attributes: Dropout, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    return _mask(attributes, run.batch * elements(inputs[0]))


def _dropout2d_saves(attributes: Dropout, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    return _mask(attributes, run.batch * inputs[0][0])


def _drop_path_saves(attributes: DropPath, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    return Saved(extra=ScalarCount(run.batch))


def _dropout_read(call: CallArguments) -> Mapping[str, Any]:
    call.only("train", False, False)
    return {"p": call.number("p", 0.5)}


def _drop_path_read(call: CallArguments) -> Mapping[str, Any]:
    return {"p": call.number("p", 0.0)}


ROWS = (
    Operator(
        name="dropout",
        kind="regularization",
        summary="Zeroes elements at random while training (`nn.Dropout`).",
        attributes=Dropout,
        shape=first_shape,
        source=_dropout_source,
        parameters=no_parameters,
        flops=None,
        memory=MemoryRules(_dropout_saves, view=_dropout_view),
        algebra=RANDOM,
        inplace=True,
        readings=(Reading(("dropout",), _dropout_read, "elements"),),
    ),
    Operator(
        name="dropout2d",
        kind="regularization",
        summary="Zeroes whole channels at random while training (`nn.Dropout2d`; 1d and 3d for signals and clips).",
        attributes=Dropout,
        shape=_dropout2d_shape,
        source=_dropout2d_source,
        parameters=no_parameters,
        flops=None,
        memory=MemoryRules(_dropout2d_saves, view=_dropout_view),
        algebra=RANDOM,
        inplace=True,
        readings=(Reading(("feature_dropout",), _dropout_read),),
    ),
    Operator(
        name="drop_path",
        kind="regularization",
        summary="Zeroes the whole value for some samples while training: stochastic depth (Huang et al., ECCV 2016).",
        attributes=DropPath,
        shape=first_shape,
        source=_drop_path_source,
        parameters=no_parameters,
        flops=None,
        memory=MemoryRules(_drop_path_saves, view=is_view_in_inference),
        algebra=RANDOM,
        readings=(Reading(("drop_path",), _drop_path_read, "elements"),),
    ),
)
