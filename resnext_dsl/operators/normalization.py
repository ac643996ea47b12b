"""Normalizations.

FLOPs are fvcore's estimates: 1 per element for a batch norm in eval mode, 4 for the others, and 1 more with affine.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from resnext_dsl.operators.algebra import Algebra, ChannelFactors, Joined, Tensor, alike, crosses
from resnext_dsl.operators.arguments import Fraction, NaturalFloat, Positive, PositiveFloat
from resnext_dsl.operators.base import Attributes, ModuleCall, RuleError, Shape
from resnext_dsl.operators.memory_rules import MemoryRules, Saved, ScalarCount, TrainingStep
from resnext_dsl.operators.ranks import by_rank, helper_by_rank, is_map
from resnext_dsl.operators.readings import (
    UNREADABLE,
    WEIGHT_AND_BIAS,
    CallArguments,
    Reading,
    implied,
    read_affine,
)
from resnext_dsl.operators.row import Operator
from resnext_dsl.operators.rules import (
    check_divisible,
    elements,
    keywords,
    map_of,
    map_or_features,
    no_parameters,
    shape_text,
)


class BatchNorm(Attributes):
    """Attributes of `bn`.

    Attributes:
        eps: Number added to the variance.
        momentum: Weight of the newest batch in the running statistics.
        affine: Whether a factor and an offset are learned for each channel.
    """

    eps: PositiveFloat = 1e-5
    momentum: Fraction = 0.1
    affine: bool = True


class LayerNorm(Attributes):
    """Attributes of `layernorm`.

    Attributes:
        eps: Number added to the variance.
        affine: Whether a factor and an offset are learned for each channel.
    """

    eps: PositiveFloat = 1e-5
    affine: bool = True


class GroupNorm(Attributes):
    """Attributes of `groupnorm`.

    Attributes:
        groups: Number of groups of channels, each computed separately.
        eps: Number added to the variance.
        affine: Whether a factor and an offset are learned for each channel.
    """

    groups: Positive
    eps: PositiveFloat = 1e-5
    affine: bool = True


class InstanceNorm(Attributes):
    """Attributes of `instancenorm`; without learned factors by default, as in torch.

    Attributes:
        eps: Number added to the variance.
        affine: Whether a factor and an offset are learned for each channel.
    """

    eps: PositiveFloat = 1e-5
    affine: bool = False


class GlobalResponseNorm(Attributes):
    """Attributes of `grn`.

    Attributes:
        eps: Number added to the mean of the norms.
    """

    eps: PositiveFloat = 1e-6


class LocalResponseNorm(Attributes):
    """Attributes of `lrn`, with torch's names and defaults.

    Attributes:
        size: Number of neighbouring channels in the sum.
        alpha: Factor of the sum of squares.
        beta: Exponent.
        k: Number added to the sum.
    """

    size: Positive
    alpha: NaturalFloat = 1e-4
    beta: NaturalFloat = 0.75
    k: PositiveFloat = 1.0


Affine = BatchNorm | LayerNorm | GroupNorm | InstanceNorm


def _parameters(attributes: Affine, inputs: tuple[Shape, ...]) -> int:
    return 2 * attributes.affine * inputs[0][0]


def _batch_flops(attributes: BatchNorm, inputs: tuple[Shape, ...]) -> int:
    return elements(inputs[0]) * (1 + attributes.affine)


def _norm_flops(attributes: Affine, inputs: tuple[Shape, ...]) -> int:
    return elements(inputs[0]) * (4 + attributes.affine)


def _batch_shape(attributes: BatchNorm, inputs: tuple[Shape, ...]) -> Shape:
    return map_or_features("bn", inputs)


def _batch_source(attributes: BatchNorm, inputs: tuple[Shape, ...]) -> ModuleCall:
    chosen = keywords(eps=(attributes.eps, 1e-5), momentum=(attributes.momentum, 0.1), affine=(attributes.affine, True))
    target = by_rank("nn.BatchNorm", inputs[0]) if is_map(inputs[0]) else "nn.BatchNorm1d"
    return ModuleCall(target, (inputs[0][0],), chosen)


def _layer_shape(attributes: LayerNorm, inputs: tuple[Shape, ...]) -> Shape:
    return map_or_features("layernorm", inputs)


def _layer_source(attributes: LayerNorm, inputs: tuple[Shape, ...]) -> ModuleCall:
    chosen = keywords(eps=(attributes.eps, 1e-5), elementwise_affine=(attributes.affine, True))
    target = by_rank("LayerNorm", inputs[0]) if is_map(inputs[0]) else "nn.LayerNorm"
    return ModuleCall(target, (inputs[0][0],), chosen)


def _group_shape(attributes: GroupNorm, inputs: tuple[Shape, ...]) -> Shape:
    channels, *size = map_or_features("groupnorm", inputs)
    check_divisible("the channels of the input", channels, "`groups`", attributes.groups, "groups")
    if elements(tuple(size)) * channels == attributes.groups:
        grouped = f"{shape_text(inputs[0])} in {attributes.groups} groups"
        message = f"`groupnorm` needs more than one element per group; found {grouped}"
        raise RuleError("E301", message, "use fewer groups", "groups")
    return inputs[0]


def _group_source(attributes: GroupNorm, inputs: tuple[Shape, ...]) -> ModuleCall:
    chosen = keywords(eps=(attributes.eps, 1e-5), affine=(attributes.affine, True))
    return ModuleCall("nn.GroupNorm", (attributes.groups, inputs[0][0]), chosen)


def _instance_shape(attributes: InstanceNorm, inputs: tuple[Shape, ...]) -> Shape:
    if elements(map_of("instancenorm", inputs)[1:]) == 1:
        message = f"`instancenorm` needs more than one element per channel; found {shape_text(inputs[0])}"
        raise RuleError("E301", message)
    return inputs[0]


def _instance_source(attributes: InstanceNorm, inputs: tuple[Shape, ...]) -> ModuleCall:
    chosen = keywords(eps=(attributes.eps, 1e-5), affine=(attributes.affine, False))
    return ModuleCall(by_rank("nn.InstanceNorm", inputs[0]), (inputs[0][0],), chosen)


def _response_shape(attributes: LocalResponseNorm, inputs: tuple[Shape, ...]) -> Shape:
    return map_of("lrn", inputs)


def _response_source(attributes: LocalResponseNorm, inputs: tuple[Shape, ...]) -> ModuleCall:
    chosen = keywords(alpha=(attributes.alpha, 1e-4), beta=(attributes.beta, 0.75), k=(attributes.k, 1.0))
    return ModuleCall("nn.LocalResponseNorm", (attributes.size,), chosen)


def _share_shape(attributes: GlobalResponseNorm, inputs: tuple[Shape, ...]) -> Shape:
    return map_of("grn", inputs)


def _share_source(attributes: GlobalResponseNorm, inputs: tuple[Shape, ...]) -> ModuleCall:
    target = helper_by_rank("GlobalResponseNorm", inputs[0])
    return ModuleCall(target, (inputs[0][0],), keywords(eps=(attributes.eps, 1e-6)))


def _share_parameters(attributes: GlobalResponseNorm, inputs: tuple[Shape, ...]) -> int:
    return 2 * inputs[0][0]


def _share_tensors(attributes: GlobalResponseNorm, inputs: tuple[Shape, ...]) -> tuple[Tensor, ...]:
    channels = inputs[0][:1]
    return Tensor("weight", channels), Tensor("bias", channels)


def _share_scratch(attributes: GlobalResponseNorm, inputs: tuple[Shape, ...], batch: int) -> ScalarCount:
    # Beside the result live the norms, the shares, and one value of the input's size.
    return ScalarCount(batch * (elements(inputs[0]) + 2 * inputs[0][0]))


def _share_saves(attributes: GlobalResponseNorm, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    whole, channels = run.batch * elements(inputs[0]), run.batch * inputs[0][0]
    if not run.gradients[0]:
        return Saved(extra=ScalarCount(whole))  # the product, for the gradient of the weight
    # The product, the norms, the shares, and the mean of the norms.
    return Saved(inputs=(0,), extra=ScalarCount(whole + 2 * channels + run.batch))


# Norms save their input, and a mean and a deviation for each set of elements that they normalize.


def _batch_saves(attributes: BatchNorm, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    return Saved(inputs=(0,), extra=ScalarCount(2 * inputs[0][0]))


def _batch_buffers(attributes: BatchNorm, inputs: tuple[Shape, ...]) -> ScalarCount:
    return ScalarCount(2 * inputs[0][0], indices=1)  # running mean and variance, and the number of batches


def _layer_statistics(attributes: LayerNorm, inputs: tuple[Shape, ...], batch: int) -> ScalarCount:
    return ScalarCount(2 * batch * elements(inputs[0][1:]))


def _layer_saves(attributes: LayerNorm, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    return Saved(inputs=(0,), extra=_layer_statistics(attributes, inputs, run.batch))


def _group_statistics(attributes: GroupNorm, inputs: tuple[Shape, ...], batch: int) -> ScalarCount:
    return ScalarCount(2 * batch * attributes.groups)


def _group_saves(attributes: GroupNorm, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    return Saved(inputs=(0,), extra=_group_statistics(attributes, inputs, run.batch))


def _instance_scratch(attributes: InstanceNorm, inputs: tuple[Shape, ...], batch: int) -> ScalarCount:
    # Torch runs a batch norm over samples and channels together, and repeats weight and bias for it.
    return ScalarCount(2 * (1 + attributes.affine) * batch * inputs[0][0])


def _instance_saves(attributes: InstanceNorm, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    return Saved(inputs=(0,), extra=ScalarCount((2 + attributes.affine) * run.batch * inputs[0][0]))


def _response_padded(attributes: LocalResponseNorm, inputs: tuple[Shape, ...], batch: int) -> int:
    """Elements of the squares, padded with channels of zeros."""
    channels, *size = inputs[0]
    return batch * (channels + attributes.size - 1) * elements(tuple(size))


def _response_scratch(attributes: LocalResponseNorm, inputs: tuple[Shape, ...], batch: int) -> ScalarCount:
    # Torch computes it in steps. Beside the result live two values of its size, or the padded squares.
    whole = batch * elements(inputs[0])
    return ScalarCount(max(2 * whole, _response_padded(attributes, inputs, batch)))


def _response_saves(attributes: LocalResponseNorm, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    whole = run.batch * elements(inputs[0])
    return Saved(inputs=(0,), extra=ScalarCount(2 * whole + _response_padded(attributes, inputs, run.batch)))


def _affine_tensors(attributes: Affine, inputs: tuple[Shape, ...]) -> tuple[Tensor, ...]:
    channels = inputs[0][:1]
    return (Tensor("weight", channels), Tensor("bias", channels)) if attributes.affine else ()


def _batch_tensors(attributes: BatchNorm, inputs: tuple[Shape, ...]) -> tuple[Tensor, ...]:
    channels = inputs[0][:1]
    statistics = (Tensor("running_mean", channels, False), Tensor("running_var", channels, False))
    return (*_affine_tensors(attributes, inputs), *statistics, Tensor("num_batches_tracked", (), False))


def _batch_factors(attributes: BatchNorm, channels: int) -> ChannelFactors:
    return ChannelFactors("normalized", (attributes.eps,), shifts=True)


def _group_joined(attributes: Sequence[GroupNorm], channels: Sequence[int]) -> Joined:
    """The groups of all operators together, if all groups have one size."""
    sizes = {count // each.groups for each, count in zip(attributes, channels, strict=True)}
    if len(sizes) > 1:
        return None, f"its groups have {' and '.join(map(str, sorted(sizes)))} channels"
    one, reason = alike([each.replaced(groups=1) for each in attributes], channels)
    return (None, reason) if reason else (one.replaced(groups=sum(each.groups for each in attributes)), "")


def _group_sliced(attributes: GroupNorm, channels: int, count: int) -> Joined:
    if attributes.groups % count:
        return None, f"`groups` (={attributes.groups}) is not divisible by {count}"
    return attributes.replaced(groups=attributes.groups // count), ""


def _batch_read(call: CallArguments) -> Mapping[str, Any]:
    statistics = [name for name in ("running_mean", "running_var") if name in call.tensors]
    if len(statistics) < 2:
        message = "`batch_norm` without running statistics has no operator in the language"
        raise RuleError(UNREADABLE, message)
    call.only("training", False, False)
    momentum = call.take("momentum", 0.1)
    return {"eps": call.number("eps", 1e-5), "momentum": float(momentum), "affine": read_affine(call)}


def _layer_read(call: CallArguments) -> Mapping[str, Any]:
    normalized = tuple(call.take("normalized_shape"))
    if normalized != call.shape[:1]:
        message = f"`layer_norm` over {shape_text(normalized)} has no operator in the language; one axis has"
        raise RuleError(UNREADABLE, message)
    return {"eps": call.number("eps", 1e-5), "affine": read_affine(call)}


def _group_read(call: CallArguments) -> Mapping[str, Any]:
    return {"groups": call.take("num_groups"), "eps": call.number("eps", 1e-5), "affine": read_affine(call)}


def _instance_read(call: CallArguments) -> Mapping[str, Any]:
    call.only("use_input_stats", True, True)
    call.take("momentum")  # of running statistics, which it does not have
    return {"eps": call.number("eps", 1e-5), "affine": read_affine(call)}


def _response_read(call: CallArguments) -> Mapping[str, Any]:
    return {
        "size": call.take("size"),
        "alpha": call.number("alpha", 1e-4),
        "beta": call.number("beta", 0.75),
        "k": call.number("k", 1.0),
    }


_STATISTICS = (("running_mean", "running_mean"), ("running_var", "running_var"))

ACROSS = "it looks across channels"

ROWS = (
    Operator(
        name="bn",
        kind="normalization",
        summary="Batch normalization of a feature map or of features (`nn.BatchNorm1d`, `2d`, `3d`).",
        attributes=BatchNorm,
        shape=_batch_shape,
        source=_batch_source,
        parameters=_parameters,
        flops=_batch_flops,
        memory=MemoryRules(_batch_saves, buffers=_batch_buffers),
        algebra=Algebra(alike, _batch_tensors, factors=_batch_factors),
        overwritable=True,
        fvcore="batch_norm",
        init_fields=("weight", "bias"),
        readings=(Reading(("batch_norm",), _batch_read, "channels", (*WEIGHT_AND_BIAS, *_STATISTICS)),),
    ),
    Operator(
        name="layernorm",
        kind="normalization",
        summary="Layer normalization over the channels at each position, or over the features (`nn.LayerNorm`).",
        attributes=LayerNorm,
        shape=_layer_shape,
        source=_layer_source,
        parameters=_parameters,
        flops=_norm_flops,
        memory=MemoryRules(_layer_saves, scratch=_layer_statistics),
        algebra=crosses(ACROSS)._replace(tensors=_affine_tensors),
        fvcore="layer_norm",
        init_fields=("weight", "bias"),
        readings=(Reading(("layer_norm",), _layer_read, "last", WEIGHT_AND_BIAS),),
    ),
    Operator(
        name="groupnorm",
        kind="normalization",
        summary="Normalization over groups of channels of a feature map or of features (`nn.GroupNorm`).",
        attributes=GroupNorm,
        shape=_group_shape,
        source=_group_source,
        parameters=_parameters,
        flops=_norm_flops,
        memory=MemoryRules(_group_saves, scratch=_group_statistics),
        algebra=Algebra(_group_joined, _affine_tensors, sliced=_group_sliced),
        fvcore="group_norm",
        init_fields=("weight", "bias"),
        readings=(Reading(("group_norm",), _group_read, "channels", WEIGHT_AND_BIAS),),
    ),
    Operator(
        name="instancenorm",
        kind="normalization",
        summary="Normalization of each channel over its sides (`nn.InstanceNorm2d`; 1d and 3d too).",
        attributes=InstanceNorm,
        shape=_instance_shape,
        source=_instance_source,
        parameters=_parameters,
        flops=_norm_flops,
        memory=MemoryRules(_instance_saves, scratch=_instance_scratch),
        algebra=Algebra(alike, _affine_tensors),
        fvcore="instance_norm",
        init_fields=("weight", "bias"),
        readings=(Reading(("instance_norm",), _instance_read, "channels", WEIGHT_AND_BIAS),),
    ),
    Operator(
        name="lrn",
        kind="normalization",
        summary="Local response normalization across neighbouring channels, as in AlexNet (`nn.LocalResponseNorm`).",
        attributes=LocalResponseNorm,
        shape=_response_shape,
        source=_response_source,
        parameters=no_parameters,
        flops=None,
        memory=MemoryRules(_response_saves, scratch=_response_scratch),
        algebra=crosses(ACROSS),
        readings=(Reading(("local_response_norm",), _response_read),),
    ),
    Operator(
        name="grn",
        kind="normalization",
        summary="Global response normalization (Woo et al., CVPR 2023): channels compete by their norms over the map.",
        attributes=GlobalResponseNorm,
        shape=_share_shape,
        source=_share_source,
        parameters=_share_parameters,
        flops=None,
        memory=MemoryRules(_share_saves, scratch=_share_scratch),
        algebra=crosses(ACROSS)._replace(tensors=_share_tensors),
        init_fields=("weight", "bias"),
        readings=(implied("linalg_vector_norm", "addcmul"),),
    ),
)
