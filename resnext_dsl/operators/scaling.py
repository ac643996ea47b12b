"""Multiplication by constants, fixed or learned."""

from resnext_dsl.operators.algebra import Algebra, ChannelFactors, Tensor, alike, crosses
from resnext_dsl.operators.base import Attributes, Expression, ModuleCall, Shape
from resnext_dsl.operators.memory_rules import INPUT_SAVED, NOTHING_SAVED
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
    """

    init: float = 1e-6


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


def _layer_scale_source(attributes: LayerScale, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall("LayerScale", (inputs[0][0], attributes.init), keywords(dimensions=(len(inputs[0]), 3)))


def _layer_scale_parameters(attributes: LayerScale, inputs: tuple[Shape, ...]) -> int:
    return inputs[0][0]


def _layer_scale_tensors(attributes: LayerScale, inputs: tuple[Shape, ...]) -> tuple[Tensor, ...]:
    return (Tensor("gamma", inputs[0][:1]),)


def _scale_factors(attributes: Scale, channels: int) -> ChannelFactors:
    return ChannelFactors("constant", (attributes.factor, channels))


def _layer_scale_factors(attributes: LayerScale, channels: int) -> ChannelFactors:
    return ChannelFactors("factors")


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
    ),
    Operator(
        name="layer_scale",
        kind="scaling",
        summary="Each channel times a learned factor (Touvron et al., ICCV 2021).",
        attributes=LayerScale,
        shape=_layer_scale_shape,
        source=_layer_scale_source,
        parameters=_layer_scale_parameters,
        flops=None,
        memory=INPUT_SAVED,
        algebra=Algebra(alike, _layer_scale_tensors, factors=_layer_scale_factors),
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
