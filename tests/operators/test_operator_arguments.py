"""Arguments: what is accepted, how it is said that something is not, and agreement with pydantic's own validator."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_cases import CASES
from pydantic import ValidationError

from resnext_dsl.operators import OPERATORS, RuleError, arguments_of, validate, value_text
from resnext_dsl.operators.models import model_of

MESSAGES: list[tuple[str, dict[str, object], str, str, str]] = [
    ("conv", {"stride": 0}, "E205", "`stride` must be at least 1; found 0", ""),
    ("conv", {"kernel": (0, 3)}, "E205", "`kernel` must be at least 1; found 0x3", ""),
    ("conv", {"channels": -4}, "E205", "`channels` must be at least 1; found -4", ""),
    ("conv", {"channels": 2**31}, "E205", "`channels` must be at most 2147483647; found 2147483648", ""),
    ("conv", {"padding": -1}, "E205", "`padding` must be at least 0; found -1", ""),
    (
        "conv",
        {"channels": 1.5},
        "E204",
        "`channels` must be an int; found 1.5",
        "`//`, `round`, `floor` and `ceil` give an int",
    ),
    ("conv", {"channels": True}, "E204", "`channels` must be an int; found true", ""),
    ("conv", {"channels": (3, 3)}, "E204", "`channels` must be an int; found 3x3", ""),
    ("conv", {"kernel": (3, 3, 3)}, "E204", "`kernel` must be an int or a shape such as 3x3; found 3x3x3", ""),
    ("conv", {"kernel": (3, True)}, "E204", "`kernel` must be an int or a shape such as 3x3; found a value", ""),
    (
        "conv",
        {"padding": "same_lower"},
        "E205",
        "`padding` must be an int, a shape such as 3x3, `same`, `same_upper` or `valid`; found `same_lower`",
        "did you mean `same_upper`?",
    ),
    ("conv", {"standardize": 1}, "E204", "`standardize` must be `true`, `false` or `scaled`; found 1", ""),
    (
        "conv",
        {"standardize": "scale"},
        "E205",
        "`standardize` must be `true`, `false` or `scaled`; found `scale`",
        "did you mean `scaled`?",
    ),
    ("conv", {"eps": 0, "standardize": True}, "E205", "`eps` must be greater than 0; found 0", ""),
    ("conv", {"gamma": -1.5, "standardize": "scaled"}, "E205", "`gamma` must be greater than 0; found -1.5", ""),
    ("conv", {"bias": 1}, "E204", "`bias` must be `true` or `false`; found 1", ""),
    (
        "conv",
        {"padding": "sane"},
        "E205",
        "`padding` must be an int, a shape such as 3x3, `same`, `same_upper` or `valid`; found `sane`",
        "did you mean `same`?",
    ),
    ("conv", {"groups": "same"}, "E204", "`groups` must be an int; found `same`", ""),
    ("conv", {"kernel": object()}, "E204", "`kernel` must be an int or a shape such as 3x3; found a value of", ""),
    ("conv", {"kernel": {}}, "E204", "`kernel` must be an int or a shape such as 3x3; found a value of type dict", ""),
    ("bn", {"eps": 0.0}, "E205", "`eps` must be greater than 0; found 0.0", ""),
    ("bn", {"eps": "small"}, "E204", "`eps` must be a number; found `small`", ""),
    ("bn", {"eps": float("nan")}, "E204", "`eps` must be a number; found nan", ""),
    ("scale", {"factor": 10**400}, "E204", "`factor` must be a number; found 1000", ""),
    ("dropout", {"p": 1.5}, "E205", "`p` must be at most 1; found 1.5", ""),
    ("drop_path", {"p": 1}, "E205", "`p` must be less than 1; found 1", ""),
    (
        "maxpool",
        {"kernel": "globl"},
        "E205",
        "`kernel` must be an int, a shape such as 3x3 or `global`; found",
        "`global`?",
    ),
    ("upsample", {"mode": "cubic"}, "E205", "`mode` must be `nearest` or `bilinear`; found `cubic`", ""),
    ("upsample", {"mode": 2}, "E204", "`mode` must be `nearest` or `bilinear`; found 2", ""),
    (
        "fixed_conv",
        {"kernel": [[1, 2], [3]]},
        "E204",
        "`kernel` must be rows of numbers such as [[1, 2], [3, 4]]; found a value of type list",
        "every row has the same number of numbers, at least one",
    ),
    ("fixed_conv", {"kernel": [[1, True]]}, "E204", "`kernel` must be rows of numbers such as", "every row"),
    ("fixed_conv", {"kernel": [[]]}, "E204", "`kernel` must be rows of numbers such as [[1, 2], [3, 4]];", "every row"),
    ("fixed_conv", {"kernel": 3}, "E204", "`kernel` must be rows of numbers such as [[1, 2], [3, 4]]; found 3", ""),
    (
        "blur_pool",
        {"mode": "mirror"},
        "E205",
        "`mode` must be `constant`, `reflect` or `replicate`; found `mirror`",
        "",
    ),
    (
        "conv",
        {"gain": 2.0},
        "E205",
        "`gain` needs `standardize=scaled`; found `standardize=false`",
        "write `standardize=scaled`, or remove `gain`",
    ),
    (
        "conv",
        {"gamma": 0.5, "standardize": True},
        "E205",
        "`gamma` needs `standardize=scaled`; found `standardize=true`",
        "write `standardize=scaled`, or remove `gamma`",
    ),
    (
        "conv",
        {"eps": 1e-5},
        "E205",
        "`eps` needs `standardize=true` or `standardize=scaled`; found `standardize=false`",
        "write `standardize=true`, or remove `eps`",
    ),
    ("conv", {"strid": 2}, "E201", "there is no argument `strid`", "did you mean `stride`?"),
]


@pytest.mark.parametrize(("name", "wrong", "code", "message", "hint"), MESSAGES, ids=[case[3] for case in MESSAGES])
def test_messages(name: str, wrong: dict[str, object], code: str, message: str, hint: str) -> None:
    given_anyway = {"conv": {"channels": 8, "kernel": 3}, "blur_pool": {"kernel": 3}}.get(name, {})
    with pytest.raises(RuleError) as caught:
        validate(OPERATORS[name], {**given_anyway, **wrong})
    assert caught.value.code == code
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint
    assert caught.value.attribute == next(iter(wrong))


OTHER_RANKS = [
    ("conv", {"kernel": (3, 7, 7)}, (64, 56, 56), "`kernel` of `conv` (=3x7x7)", "64x56x56", "as in 7x7"),
    ("conv", {"kernel": (3, 3)}, (64, 100), "`kernel` of `conv` (=3x3)", "64x100", "`kernel=3` holds for every side"),
    ("conv", {"kernel": 3, "stride": (1, 2)}, (3, 8, 9, 9), "`stride` of `conv` (=1x2)", "3x8x9x9", "as in 2x2x2"),
    ("maxpool", {"kernel": (3, 3)}, (3, 8, 9, 9), "`kernel` of `maxpool` (=3x3)", "3x8x9x9", "`kernel=3` holds for"),
]


@pytest.mark.parametrize(("name", "arguments", "shape", "size", "found", "hint"), OTHER_RANKS)
def test_a_size_of_another_rank_is_an_error_with_both_shapes(
    name: str, arguments: dict[str, object], shape: tuple[int, ...], size: str, found: str, hint: str
) -> None:
    given_anyway = {"channels": 8} if name == "conv" else {}
    with pytest.raises(RuleError) as caught:
        validate(OPERATORS[name], given_anyway | arguments, shape)
    assert caught.value.message == f"{size} must have the sides of its input (={found})"
    assert (caught.value.code, caught.value.attribute) == ("E304", list(arguments)[-1])
    assert hint in caught.value.hint


NO_IMAGES = {"signal": (4, 9), "clip": (4, 5, 9, 9)}

SAME_UPPER = "put `pad_same(kernel=3, stride=2)` before it and use `kernel=3, stride=2, padding=valid`"

IMAGES_ONLY: list[tuple[str, dict[str, object], str, str]] = [
    ("fixed_conv", {"kernel": [[1, 2, 1]]}, "fixed_conv", ""),
    ("blur_pool", {"kernel": (3, 3)}, "blur_pool", ""),
    ("blur_pool", {"kernel": 0}, "blur_pool", ""),
    ("pixel_shuffle", {"factor": 2}, "pixel_shuffle", ""),
    ("pixel_unshuffle", {"factor": 2}, "pixel_unshuffle", ""),
    ("conv", {"channels": 8, "kernel": (3, 3), "standardize": True}, "standardize=true", ""),
    ("conv", {"channels": 7, "kernel": 3, "standardize": "scaled", "groups": 2}, "standardize=scaled", ""),
    ("conv", {"channels": 8, "kernel": (3, 3), "stride": 2, "padding": "same_upper"}, "padding=same_upper", SAME_UPPER),
    ("avgpool", {"kernel": 3, "stride": (2, 2), "padding": "same_upper"}, "padding=same_upper", SAME_UPPER),
    ("avgpool", {"kernel": 3, "count_include_pad": False, "padding": "same_upper"}, "padding=same_upper", ""),
    ("maxpool", {"kernel": (3, 3), "padding": "same_upper"}, "padding=same_upper", ""),
]


@pytest.mark.parametrize("shape", NO_IMAGES.values(), ids=NO_IMAGES)
@pytest.mark.parametrize(("name", "arguments", "subject", "hint"), IMAGES_ONLY)
def test_what_takes_images_only_refuses_signals_and_clips_before_its_other_arguments_are_checked(
    name: str, arguments: dict[str, object], subject: str, hint: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(RuleError) as caught:
        validate(OPERATORS[name], arguments, shape)
    found = "x".join(map(str, shape))
    message = f"`{subject}` takes only feature maps of channels x height x width; found {found}"
    assert (caught.value.code, caught.value.message, caught.value.hint) == ("E301", message, hint)
    assert caught.value.attribute == (subject.partition("=")[0] if "=" in subject else None)


def test_every_operator_without_a_module_for_signals_or_clips_is_refused_above() -> None:
    limited = {(row.name, limit.argument) for row in OPERATORS.values() for limit in row.images_only}
    refused = {(name, subject.partition("=")[0] if "=" in subject else "") for name, _, subject, _ in IMAGES_ONLY}
    assert refused == limited


@pytest.mark.parametrize(("kernel", "hint"), [((1, 3), "`pad_same(KERNEL, STRIDE)`"), (5, "`pad_same(kernel=5)`")])
def test_the_padding_of_a_signal_names_its_numbers_if_all_sides_have_the_same(kernel: object, hint: str) -> None:
    arguments = {"channels": 8, "kernel": kernel, "padding": "same_upper"}
    with pytest.raises(RuleError, match="`padding=same_upper` takes only feature maps") as caught:
        validate(OPERATORS["conv"], arguments, (4, 9))
    assert hint in caught.value.hint


def test_a_pool_without_a_stride_is_padded_for_that_of_its_kernel() -> None:
    with pytest.raises(RuleError, match="`padding=same_upper` takes only feature maps") as caught:
        validate(OPERATORS["avgpool"], {"kernel": 3, "padding": "same_upper"}, (4, 9))
    assert caught.value.hint.startswith("put `pad_same(kernel=3, stride=3)` before it and use `kernel=3, stride=3,")


@pytest.mark.parametrize("shape", NO_IMAGES.values(), ids=NO_IMAGES)
def test_a_hint_of_an_argument_of_standardized_weights_suggests_none_of_them_for_a_signal_or_clip(
    shape: tuple[int, ...],
) -> None:
    with pytest.raises(RuleError, match="`gain` needs `standardize=scaled`") as caught:
        validate(OPERATORS["conv"], {"channels": 8, "kernel": 3, "gain": 2.0}, shape)
    assert caught.value.hint == "remove `gain`: `standardize` is for images only"


@pytest.mark.parametrize(("shape", "sides"), [((4, 9), 1), ((4, 9, 9), 2), ((4, 9, 9, 9), 3), ((4,), 2)])
def test_one_int_and_defaults_take_the_rank_of_the_value(shape: tuple[int, ...], sides: int) -> None:
    pool = dict(validate(OPERATORS["maxpool"], {"kernel": 3}, shape))
    assert pool["kernel"] == (3,) * sides
    assert pool["dilation"] == (1,) * sides
    assert (pool["stride"], pool["padding"]) == (None, "same")


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(RuleError, match=r"^`kernel` is missing$") as caught:
        validate(OPERATORS["conv"], {"channels": 8})
    assert caught.value.code == "E202"


def test_equal_arguments_give_one_instance() -> None:
    conv = OPERATORS["conv"]
    assert validate(conv, {"channels": 8, "kernel": (3, 3)}) is validate(conv, {"channels": 8, "kernel": (3, 3)})


def test_pairs_are_plain_tuples_whatever_they_came_from() -> None:
    class Two(tuple[int, int]):
        __slots__ = ()

    for kernel in (3, (3, 3), [3, 3], Two((3, 3))):
        conv = validate(OPERATORS["conv"], {"channels": 8, "kernel": kernel})
        assert repr(conv).startswith("Convolution(channels=8, kernel=(3, 3), ")
        assert type(dict(conv)["kernel"]) is tuple


def test_values_that_are_equal_but_of_other_types_are_told_apart() -> None:
    conv = OPERATORS["conv"]
    validate(conv, {"channels": 8, "kernel": (1, 1), "bias": True})
    with pytest.raises(RuleError, match=r"`bias` must be `true` or `false`; found 1$"):
        validate(conv, {"channels": 8, "kernel": (1, 1), "bias": 1})
    with pytest.raises(RuleError, match="`kernel` must be an int or a shape"):
        validate(conv, {"channels": 8, "kernel": (1, True), "bias": True})


def test_no_attribute_is_minus_zero() -> None:
    assert [repr(validate(OPERATORS["scale"], {"factor": zero}).factor) for zero in (-0.0, 0.0)] == ["0.0"] * 2


def test_long_texts_are_cut() -> None:
    assert len(value_text("x" * 10**6)) < 80


odd_values = st.one_of(
    st.sampled_from([-1, 0, 1, 2, 2**31 - 1, 2**31, 0.0, -0.5, 0.5, 1.0, 1.5, float("nan"), float("inf"), True, False]),
    st.sampled_from(["same", "valid", "global", "nearest", "bilinear", "none", "tanh", "other", ""]),
    st.sampled_from([[[1, 2]], [[1, 2], [3]], [[]], ((0.5,), (-1,)), [[float("inf")]], [[True]], [["same"]]]),
    st.sampled_from([(), (1,), (3, 3), (0, 1), (-1, 1), (1, 2, 3), (1, True), (1.0, 2), [2, 1], [], None]),
)


@pytest.mark.parametrize("name", [name for name, row in OPERATORS.items() if arguments_of(row.attributes)])
@settings(max_examples=25)
@given(data=st.data())
def test_agrees_with_pydantic(name: str, data: st.DataObject) -> None:
    operator = OPERATORS[name]
    arguments, shapes = data.draw(CASES[name])
    model = model_of(operator.attributes, len(shapes[0]) - 1 or 2)
    names = [argument.name for argument in arguments_of(operator.attributes)]
    arguments |= data.draw(st.dictionaries(st.sampled_from(names), odd_values, max_size=2))
    # pydantic lets None stand for a missing value; the language has no None.
    absent = {name for name, default in operator.attributes.fields.items() if default is None}
    arguments = {key: value for key, value in arguments.items() if value is not None or key not in absent}
    try:
        ours = validate(operator, arguments, shapes[0] if len(shapes[0]) > 1 else None)
    except RuleError as error:
        blamed = error.attribute
        with pytest.raises(ValidationError, match=blamed):
            model(**arguments)
    else:
        theirs = model(**arguments)
        assert dict(ours) == dict(theirs)
        assert [type(value) for _, value in ours] == [type(value) for _, value in theirs]
