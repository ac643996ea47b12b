"""Multiplication by constants, fixed or learned."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from resnext_dsl.operators.algebra import Algebra, ChannelFactors, Joined, Tensor, alike, crosses
from resnext_dsl.operators.base import Attributes, Expression, ModuleCall, Shape
from resnext_dsl.operators.memory_rules import INPUT_SAVED, NOTHING_SAVED
from resnext_dsl.operators.readings import CallArguments, Reading
from resnext_dsl.operators.row import Operator
from resnext_dsl.operators.rules import first_shape, keywords, map_or_features, no_parameters


class Scale(Attributes):
    """Attributes of `scale`.

    Attributes:
        factor: The constant.
    """

    factor: float


class LayerScale(Attributes):
    """Attributes of `layer_scale`.

    Attributes:
        init: Value before training.
        per_channel: Whether each channel has its own factor.
    """

    later = frozenset({"per_channel"})

    init: float = 1e-6
    per_channel: bool = True


class Affine(Attributes):
    """Attributes of `affine`.

    Attributes:
        init: Value of the factor before training.
        offset: Value of the offset before training.
    """

    init: float = 1.0
    offset: float = 0.0


ONE_FACTOR = "one factor and offset are learned for all channels"


def _scale_source(attributes: Scale, inputs: tuple[Shape, ...]) -> Expression:
    return Expression("{0} * {factor}", (("factor", attributes.factor),))


def _layer_scale_shape(attributes: LayerScale, inputs: tuple[Shape, ...]) -> Shape:
    return map_or_features("layer_scale", inputs)


def _factors(attributes: LayerScale, inputs: tuple[Shape, ...]) -> int:
    return inputs[0][0] if attributes.per_channel else 1


def _layer_scale_source(attributes: LayerScale, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall(
        "LayerScale", (_factors(attributes, inputs), attributes.init), keywords(dimensions=(len(inputs[0]), 3))
    )


def _layer_scale_parameters(attributes: LayerScale, inputs: tuple[Shape, ...]) -> int:
    return _factors(attributes, inputs)


def _layer_scale_tensors(attributes: LayerScale, inputs: tuple[Shape, ...]) -> tuple[Tensor, ...]:
    return (Tensor("gamma", (_factors(attributes, inputs),)),)


ONE_FACTOR = "one factor is learned for all channels"


def _layer_scale_joined(attributes: Sequence[LayerScale], channels: Sequence[int]) -> Joined:
    return alike(attributes, channels) if all(each.per_channel for each in attributes) else (None, ONE_FACTOR)


def _layer_scale_sliced(attributes: LayerScale, channels: int, count: int) -> Joined:
    return (attributes, "") if attributes.per_channel else (None, ONE_FACTOR)


def _scale_factors(attributes: Scale, channels: int) -> ChannelFactors:
    return ChannelFactors("constant", (attributes.factor, channels))


def _layer_scale_factors(attributes: LayerScale, channels: int) -> ChannelFactors:
    return ChannelFactors("factors", (channels,))


def _scale_read(call: CallArguments) -> Mapping[str, Any]:
    other = call.number("other", -1.0)
    return {"factor": 1.0 / other if call.operation == "div" else other}


def _layer_scale_read(call: CallArguments) -> Mapping[str, Any]:
    return {"per_channel": math.prod(call.tensors["gamma"]) > 1 or call.shape[0] == 1}


def _affine_shape(attributes: Affine, inputs: tuple[Shape, ...]) -> Shape:
    return map_or_features("affine", inputs)


def _affine_source(attributes: Affine, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall("Affine", (), keywords(init=(attributes.init, 1.0), offset=(attributes.offset, 0.0)))


def _affine_parameters(attributes: Affine, inputs: tuple[Shape, ...]) -> int:
    return 2


def _affine_tensors(attributes: Affine, inputs: tuple[Shape, ...]) -> tuple[Tensor, ...]:
    return Tensor("scale", (1,)), Tensor("bias", (1,))


ROWS = (
    Operator(
        name="scale",
        kind="scaling",
        summary="The value times a constant.",
        attributes=Scale,
        shape=first_shape,
        source=_scale_source,
        parameters=no_parameters,
        flops=None,
        memory=NOTHING_SAVED,
        algebra=Algebra(alike, factors=_scale_factors),
        readings=(Reading(("mul", "div", "neg"), _scale_read, "elements"),),
    ),
    Operator(
        name="layer_scale",
        kind="scaling",
        summary="Each channel times a learned factor, or all channels times one (Touvron et al., ICCV 2021).",
        attributes=LayerScale,
        shape=_layer_scale_shape,
        source=_layer_scale_source,
        parameters=_layer_scale_parameters,
        flops=None,
        memory=INPUT_SAVED,
        algebra=Algebra(
            _layer_scale_joined, _layer_scale_tensors, sliced=_layer_scale_sliced, factors=_layer_scale_factors
        ),
        readings=(Reading(("mul",), _layer_scale_read, "dim", (("gamma", "other"),)),),
    ),
    Operator(
        name="affine",
        kind="scaling",
        summary="The value times a learned number plus another one, the same for all channels.",
        attributes=Affine,
        shape=_affine_shape,
        source=_affine_source,
        parameters=_affine_parameters,
        flops=None,
        memory=INPUT_SAVED,
        algebra=crosses(ONE_FACTOR)._replace(tensors=_affine_tensors),
        init_fields=("scale", "bias"),
    ),
)
