"""Activations: element by element, on feature maps and features; softmax goes over channels or features.

`Operator.inplace` states which modules can overwrite their input. The emitter decides whether one does, because only
the emitter knows the other readers of the input.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from resnext_dsl.operators.algebra import CHANNELWISE, NOTHING, Algebra, Joined, Tensor, alike, crosses
from resnext_dsl.operators.arguments import Positive, PositiveFloat
from resnext_dsl.operators.base import Attributes, ModuleCall, RuleError, Shape
from resnext_dsl.operators.memory_rules import (
    INPUT_SAVED,
    OUTPUT_SAVED,
    VIEW,
    MemoryRules,
    Saved,
    ScalarCount,
    TrainingStep,
)
from resnext_dsl.operators.readings import CallArguments, OtherRowError, Reading, implied, plain
from resnext_dsl.operators.row import Operator
from resnext_dsl.operators.rules import (
    check_divisible,
    elements,
    first_shape,
    keywords,
    map_or_features,
    no_parameters,
)


class NoAttributes(Attributes):
    """Attributes of operators that take no arguments."""


class LeakyReLU(Attributes):
    """Attributes of `leaky_relu`.

    Attributes:
        slope: Slope below 0.
    """

    slope: float = 0.01


class PReLU(Attributes):
    """Attributes of `prelu`.

    Attributes:
        init: Value before training.
        per_channel: Whether each channel has its own slope.
    """

    init: float = 0.25
    per_channel: bool = False


class ELU(Attributes):
    """Attributes of `elu`.

    Attributes:
        alpha: The value far below 0 is -alpha.
    """

    alpha: PositiveFloat = 1.0


class GELU(Attributes):
    """Attributes of `gelu`.

    Attributes:
        approximate: `tanh` selects the tanh form.
    """

    approximate: Literal["none", "tanh"] = "none"


class Hardtanh(Attributes):
    """Attributes of `hardtanh`; `max` is greater than `min`.

    Attributes:
        min: Smallest value.
        max: Largest value.
    """

    min: float = -1.0
    max: float = 1.0


class Softplus(Attributes):
    """Attributes of `softplus`.

    Attributes:
        beta: Sharpness of the bend at 0.
        threshold: Value of beta * x above which the result is x.
    """

    beta: PositiveFloat = 1.0
    threshold: float = 20.0


class Softmax(Attributes):
    """Attributes of `softmax`.

    Attributes:
        across: Number of equal parts of the channels that compete, channel by channel.
    """

    later = frozenset({"across"})

    across: Positive | None = None


def _leaky_source(attributes: LeakyReLU, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall("nn.LeakyReLU", (), keywords(negative_slope=(attributes.slope, 0.01)))


def _slopes(attributes: PReLU, inputs: tuple[Shape, ...]) -> int:
    return inputs[0][0] if attributes.per_channel else 1


def _prelu_shape(attributes: PReLU, inputs: tuple[Shape, ...]) -> Shape:
    return map_or_features("prelu", inputs)


def _prelu_source(attributes: PReLU, inputs: tuple[Shape, ...]) -> ModuleCall:
    positional = (_slopes(attributes, inputs),) if attributes.per_channel else ()
    return ModuleCall("nn.PReLU", positional, keywords(init=(attributes.init, 0.25)))


def _elu_source(attributes: ELU, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall("nn.ELU", (), keywords(alpha=(attributes.alpha, 1.0)))


def _gelu_source(attributes: GELU, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall("nn.GELU", (), keywords(approximate=(attributes.approximate, "none")))


def _hardtanh_shape(attributes: Hardtanh, inputs: tuple[Shape, ...]) -> Shape:
    if attributes.max <= attributes.min:
        message = f"`max` must be greater than `min` (={attributes.min}); found {attributes.max}"
        raise RuleError("E205", message, "", "max")
    return inputs[0]


def _hardtanh_source(attributes: Hardtanh, inputs: tuple[Shape, ...]) -> ModuleCall:
    chosen = keywords(min_val=(attributes.min, -1.0), max_val=(attributes.max, 1.0))
    return ModuleCall("nn.Hardtanh", (), chosen)


def _softplus_source(attributes: Softplus, inputs: tuple[Shape, ...]) -> ModuleCall:
    chosen = keywords(beta=(attributes.beta, 1.0), threshold=(attributes.threshold, 20.0))
    return ModuleCall("nn.Softplus", (), chosen)


def _softmax_shape(attributes: Softmax, inputs: tuple[Shape, ...]) -> Shape:
    shape = map_or_features("softmax", inputs)
    if attributes.across is not None:
        check_divisible("the channels of the input", shape[0], "`across`", attributes.across, "across")
    return shape


def _softmax_source(attributes: Softmax, inputs: tuple[Shape, ...]) -> ModuleCall:
    if attributes.across is None:
        return ModuleCall("nn.Softmax", (), (("dim", 1),))
    return ModuleCall("PartSoftmax", (attributes.across,))


def _plain(target: str) -> Callable[[NoAttributes, tuple[Shape, ...]], ModuleCall]:
    def source(attributes: NoAttributes, inputs: tuple[Shape, ...]) -> ModuleCall:
        return ModuleCall(target)

    return source


def _saves_copy(attributes: Attributes, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    # In place, autograd copies the input before the operator overwrites it.
    return Saved(extra=ScalarCount(run.batch * elements(inputs[0]))) if run.inplace else Saved(inputs=(0,))


def _saves_either(attributes: Attributes, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    # The slope follows from the input and from the result. In place, only the result is left.
    return Saved(output=True) if run.inplace else Saved(inputs=(0,))


_COPY_SAVED, _EITHER_SAVED = MemoryRules(_saves_copy), MemoryRules(_saves_either)


def _row(
    name: str, summary: str, attributes: type[Attributes], source: Any, memory: MemoryRules, **more: Any
) -> Operator:
    rules = {"shape": first_shape, "parameters": no_parameters, "memory": memory, "algebra": CHANNELWISE, **more}
    return Operator(name, "activation", summary, attributes, source=source, flops=None, **rules)


def _plain_row(name: str, target: str, summary: str, memory: MemoryRules, **more: Any) -> Operator:
    more = {"readings": (plain(name),), **more}
    return _row(name, f"{summary} (`{target}`).", NoAttributes, _plain(target), memory, **more)


def _relu_read(call: CallArguments) -> Mapping[str, Any]:
    if call.operation != "relu":
        _check_limits(call, 0.0, None)
    return {}


def _relu6_read(call: CallArguments) -> Mapping[str, Any]:
    if call.operation != "relu6":
        _check_limits(call, 0.0, 6.0)
    return {}


def _hardtanh_read(call: CallArguments) -> Mapping[str, Any]:
    low, high = _limits(call)
    if low is None or high is None:
        raise OtherRowError(f"`{call.operation}` with one limit has no operator in the language, except for `relu`")
    return {"min": float(low), "max": float(high)}


def _limits(call: CallArguments) -> tuple[float | None, float | None]:
    if call.operation == "hardtanh":
        return call.take("min_val", -1.0), call.take("max_val", 1.0)
    return call.take("min"), call.take("max")


def _check_limits(call: CallArguments, low: float | None, high: float | None) -> None:
    if _limits(call) != (low, high):
        raise OtherRowError(f"`{call.operation}` has other limits")


def _leaky_read(call: CallArguments) -> Mapping[str, Any]:
    return {"slope": call.number("negative_slope", 0.01)}


def _prelu_read(call: CallArguments) -> Mapping[str, Any]:
    return {"per_channel": call.tensors["weight"][0] > 1}


def _elu_read(call: CallArguments) -> Mapping[str, Any]:
    call.only("scale", 1, 1)
    call.only("input_scale", 1, 1)
    return {"alpha": call.number("alpha", 1.0)}


def _gelu_read(call: CallArguments) -> Mapping[str, Any]:
    return {"approximate": call.take("approximate", "none")}


def _softplus_read(call: CallArguments) -> Mapping[str, Any]:
    return {"beta": call.number("beta", 1.0), "threshold": call.number("threshold", 20.0)}


def _softmax_read(call: CallArguments) -> Mapping[str, Any]:
    return {"across": call.take("across")} if call.has("across") else {}


ONE_SLOPE = "one slope is learned for all channels"


def _prelu_tensors(attributes: PReLU, inputs: tuple[Shape, ...]) -> tuple[Tensor, ...]:
    return (Tensor("weight", (_slopes(attributes, inputs),)),)


def _prelu_joined(attributes: Sequence[PReLU], channels: Sequence[int]) -> Joined:
    return alike(attributes, channels) if all(each.per_channel for each in attributes) else (None, ONE_SLOPE)


def _prelu_sliced(attributes: PReLU, channels: int, count: int) -> Joined:
    return (attributes, "") if attributes.per_channel else (None, ONE_SLOPE)


_RELU = Reading(("relu", "clamp", "clamp_min"), _relu_read, "elements")
_RELU6 = Reading(("relu6", "hardtanh", "clamp"), _relu6_read, "elements")

ROWS = (
    _plain_row("relu", "nn.ReLU", "max(x, 0)", OUTPUT_SAVED, inplace=True, readings=(_RELU,)),
    _plain_row("relu6", "nn.ReLU6", "min(max(x, 0), 6)", _COPY_SAVED, inplace=True, readings=(_RELU6,)),
    _row(
        "leaky_relu",
        "x, and slope * x below 0 (`nn.LeakyReLU`).",
        LeakyReLU,
        _leaky_source,
        _EITHER_SAVED,
        inplace=True,
        readings=(Reading(("leaky_relu",), _leaky_read, "elements"),),
    ),
    _row(
        "prelu",
        "`leaky_relu` with a learned slope, one in all or one per channel (`nn.PReLU`).",
        PReLU,
        _prelu_source,
        INPUT_SAVED,
        shape=_prelu_shape,
        algebra=Algebra(_prelu_joined, _prelu_tensors, sliced=_prelu_sliced),
        parameters=_slopes,
        init_fields=("weight",),
        readings=(Reading(("prelu",), _prelu_read, "channels", (("weight", "weight"),)),),
    ),
    _row(
        "elu",
        "x, and alpha * (exp(x) - 1) below 0 (`nn.ELU`).",
        ELU,
        _elu_source,
        _EITHER_SAVED,
        inplace=True,
        readings=(Reading(("elu",), _elu_read, "elements"),),
    ),
    _plain_row("selu", "nn.SELU", "`elu` with the constants that keep mean and variance", _EITHER_SAVED, inplace=True),
    _plain_row("silu", "nn.SiLU", "x * sigmoid(x), also called swish", _COPY_SAVED, inplace=True),
    _row(
        "gelu",
        "x * the normal distribution function of x, or its tanh form (`nn.GELU`).",
        GELU,
        _gelu_source,
        INPUT_SAVED,
        readings=(Reading(("gelu",), _gelu_read, "elements"),),
    ),
    _plain_row("mish", "nn.Mish", "x * tanh(softplus(x))", _COPY_SAVED, inplace=True),
    _plain_row("sigmoid", "nn.Sigmoid", "1 / (1 + exp(-x))", OUTPUT_SAVED),
    _plain_row("tanh", "nn.Tanh", "Hyperbolic tangent", OUTPUT_SAVED),
    _plain_row("hardswish", "nn.Hardswish", "x * relu6(x + 3) / 6", _COPY_SAVED, inplace=True),
    _plain_row("hardsigmoid", "nn.Hardsigmoid", "relu6(x + 3) / 6", _COPY_SAVED, inplace=True),
    _row(
        "hardtanh",
        "min(max(x, min), max) (`nn.Hardtanh`).",
        Hardtanh,
        _hardtanh_source,
        _COPY_SAVED,
        shape=_hardtanh_shape,
        inplace=True,
        readings=(Reading(("hardtanh", "clamp"), _hardtanh_read, "elements"),),
    ),
    _row(
        "softplus",
        "log(1 + exp(beta * x)) / beta; x itself above the threshold (`nn.Softplus`).",
        Softplus,
        _softplus_source,
        INPUT_SAVED,
        readings=(Reading(("softplus",), _softplus_read, "elements"),),
    ),
    _row(
        "softmax",
        "Softmax over the channels at each position, or over the features (`nn.Softmax`). `softmax(across=2)` weights "
        "each channel of the first half against the same channel of the second half.",
        Softmax,
        _softmax_source,
        OUTPUT_SAVED,
        shape=_softmax_shape,
        algebra=crosses("it looks across channels"),
        readings=(Reading(("softmax",), _softmax_read, "dim"),),
    ),
    _row(
        "identity",
        "The value itself, without a module.",
        NoAttributes,
        _plain("nn.Identity"),
        VIEW,
        algebra=NOTHING,
        readings=(implied("clone", "contiguous", "detach"),),
    ),
)
