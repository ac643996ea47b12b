"""Random specs of signals and clips: read twice, priced in columns, counted by fvcore, run as emitted, in every form."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
import torch
from emit_oracle import check_equal
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter_agreement import agree
from memory_oracle import alive_at_once, saved_for_backward
from random_networks import drawn
from reference_interpreter import Interpretation, interpret
from reference_operators import RejectedError
from sides_of_specs import of_rank
from spec_strategies import PARAMETERS, Written, written_specs

import resnext_dsl as rx
from resnext_dsl.costs.fvcore_count import agree as agree_with_fvcore
from resnext_dsl.costs.fvcore_count import measure
from resnext_dsl.foundation.diagnostics import WeightsWarning
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.semantics.spec_files import text_source
from resnext_dsl.spaces.space import space_of

MEASURES = ("params", "flops", "macs", "activations")
RANKS = st.sampled_from([1, 3])


@st.composite
def specs(draw: st.DrawFn, **options: Any) -> Written:
    """A random spec of signals or clips."""
    images, rank = draw(written_specs(smallest=True, **options)), draw(RANKS)
    files = {name: of_rank(text, rank) for name, text in images.files.items()}
    return images._replace(main=of_rank(images.main, rank), files=files)


def interpreted(written: Written, **overrides: Any) -> Interpretation | None:
    try:
        return interpret(written.main, written.folder(), **overrides)
    except RejectedError:
        return None


def loaded(written: Written, **overrides: Any) -> rx.Network | None:
    try:
        return written.load(**overrides)
    except rx.ArchError:
        return None


def check_reading(written: Written) -> None:
    wanted, network = interpreted(written), loaded(written)
    assert (network is None) == (wanted is None)
    if network is not None and wanted is not None:
        agree(network, wanted)


@settings(max_examples=40)
@given(specs())
def test_a_spec_reads_as_the_interpreter_reads_it(written: Written) -> None:
    check_reading(written)


@pytest.mark.slow
@settings(max_examples=800)
@given(specs())
def test_many_specs_read_as_the_interpreter_reads_them(written: Written) -> None:
    check_reading(written)


def check_columns(data: st.DataObject) -> None:
    written = data.draw(specs(budgets=False))
    varied = [name for name in written.parameters if name != "act"]
    try:
        space = space_of(text_source(written.main, "<spec>", DEFAULTS), written.folder(), DEFAULTS, {})
    except rx.ArchError:
        return
    if not varied:
        return
    rows = st.fixed_dictionaries({name: st.sampled_from(PARAMETERS[name].values) for name in varied})
    candidates = data.draw(st.lists(rows, min_size=1, max_size=5))
    columns = space.cost({name: [candidate[name] for candidate in candidates] for name in varied})
    for place, candidate in enumerate(candidates):
        wanted = interpreted(written, **candidate)
        figures = tuple(getattr(columns, measure)[place] for measure in MEASURES)
        assert columns.valid[place] == (wanted is not None), (columns.method, candidate)
        assert figures == (wanted.totals if wanted is not None else (0, 0, 0, 0)), (columns.method, candidate)


@settings(max_examples=30)
@given(st.data())
def test_columns_cost_what_the_interpreter_counts_one_by_one(data: st.DataObject) -> None:
    check_columns(data)


@pytest.mark.slow
@settings(max_examples=400)
@given(st.data())
def test_many_columns_cost_what_the_interpreter_counts(data: st.DataObject) -> None:
    check_columns(data)


def check_network(seed: int) -> None:
    """Emitted source, costs and memory of a random network."""
    network = drawn(seed, 150, rank=(1, 3)[seed % 2])
    check_equal(network.ir)
    model = network.compile(form="written")
    shape = network.ir.nodes[0].shape
    agree_with_fvcore(network.cost(), measure(model, shape))
    values = torch.randn(2, *shape)
    memory = network.memory(batch=2)
    assert memory.peak_activations == alive_at_once(model, values)
    assert memory.saved_activations == saved_for_backward(model, values)


@pytest.mark.parametrize("seed", range(12))
def test_a_random_network_is_its_graph(seed: int) -> None:
    check_network(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 250))
def test_many_random_networks_are_their_graphs(seed: int) -> None:
    check_network(seed)


MIXED = [
    ("input clip: 3x8x16x16; conv(8, 3x3)", "`kernel` of `conv` (=3x3) must have the sides of its input (=3x8x16x16)"),
    ("input image: 3x16x16; conv(8, 3x7x7)", "`kernel` of `conv` (=3x7x7) must have the sides of its input (=3x16x16)"),
    (
        "input signal: 1x64; conv(8, 3, stride=1x2)",
        "`stride` of `conv` (=1x2) must have the sides of its input (=1x64)",
    ),
    (
        "input clip: 3x8x8x8; default maxpool(stride=2x2); maxpool(3)",
        "`stride` of `maxpool` (=2x2) must have the sides",
    ),
    ("input clip: 3x8x8x8; pixel_shuffle(1)", "`pixel_shuffle` takes only feature maps of channels x height x width"),
    ("input clip: 1x2x2x2x2x2; relu", "an input is channels x length, channels x height x width, channels x time"),
    ("input clip: 3x4x8x8; residual { maxpool(global); flatten; linear(3) }", "no convolution changes 3x4x8x8 to 3"),
]


@pytest.mark.parametrize(("entries", "message"), MIXED)
def test_mixed_ranks_are_one_error(entries: str, message: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(f"network n {{ {entries} }}")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.message.startswith(message)


def test_an_error_of_rank_points_at_the_size_and_at_the_origin_of_the_shape() -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads("network n { input clip: 3x8x16x16; conv(4, 3); conv(8, kernel=5x5) }")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.span.text) == ("E304", "5x5")
    assert diagnostic.hint == "`kernel=5` holds for every side"
    assert [note.message for note in diagnostic.notes] == ["4x8x16x16 comes from `conv` here"]


def test_a_template_takes_values_of_every_rank() -> None:
    text = "from std.blocks import bottleneck\nnetwork n {{ input x: {}; bottleneck(16, 4, 2, stride=2, reduction=4) }}"
    targets = {1: "nn.Conv1d(", 2: "nn.Conv2d(", 3: "nn.Conv3d("}
    for rank, target in targets.items():
        network = rx.loads(text.format("x".join(["8", *["9"] * rank])))
        assert network.ir.nodes[-1].shape == (16, *[5] * rank)
        assert [other in network.emit() for other in targets.values()] == [
            other == target for other in targets.values()
        ]


def test_padding_a_clip_in_time_is_in_its_fingerprint() -> None:
    texts = [
        f"network n {{ input clip: 3x4x8x8; pad(top=1{extra}); relu }}" for extra in ("", ", front=0", ", front=1")
    ]
    prints = [rx.loads(text).fingerprint for text in texts]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("layout", ["auto", "contiguous", "channels_last"])
@pytest.mark.parametrize("shape", ["2x33", "2x5x9x9"])
@pytest.mark.parametrize("mode", ["train", "inference"])
def test_layouts_change_no_output(shape: str, layout: str, mode: str) -> None:
    network = rx.loads(f"network n {{ input x: {shape}; conv(8, 3); bn; relu; conv(8, 3, groups=2); maxpool(2) }}")
    expected, model = (
        network.compile(seed=0, mode="inference"),
        network.compile(seed=0, mode=mode, layout=layout).eval(),
    )
    last = [parameter.is_contiguous() for parameter in model.parameters()]
    assert all(last) is (layout != "channels_last" or shape == "2x33")
    x = torch.randn(
        2, *network.ir.nodes[0].shape, generator=torch.Generator().manual_seed(random.Random(shape).randrange(9))
    )
    torch.testing.assert_close(model(x), expected(x))


@pytest.mark.parametrize("sides", ["16", "4x8x8"])
def test_a_checkpoint_of_another_number_of_input_channels_is_adapted(sides: str) -> None:
    three, one = (rx.loads(f"network n {{ input x: {channels}x{sides}; conv(8, 3); relu }}") for channels in (3, 1))
    state = three.compile(seed=0).state_dict()
    with pytest.warns(WeightsWarning, match="the 3 input channels of `conv.weight` are summed for one channel"):
        adapted = one.compile(weights=rx.Checkpoint(state, adapt_input=True)).state_dict()
    assert torch.equal(adapted["conv.weight"], state["conv.weight"].sum(1, keepdim=True))


@pytest.mark.parametrize("sides", ["9", "5x9x9"])
@pytest.mark.parametrize(
    ("operator", "subject"),
    [
        ("conv(4, 3, padding=same_upper)", "padding=same_upper"),
        ("maxpool(3, padding=same_upper)", "padding=same_upper"),
        ("avgpool(3, padding=same_upper)", "padding=same_upper"),
        ("conv(4, 3, standardize=true)", "standardize=true"),
        ("conv(4, 3x3, standardize=scaled)", "standardize=scaled"),
        ("pixel_shuffle(2)", "pixel_shuffle"),
        ("pixel_unshuffle(2)", "pixel_unshuffle"),
        ("fixed_conv([[1, 2, 1]])", "fixed_conv"),
        ("blur_pool(3x3)", "blur_pool"),
    ],
)
def test_arguments_and_operators_of_images_refuse_other_ranks(operator: str, subject: str, sides: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(f"network n {{ input x: 3x{sides}; {operator} }}")
    (diagnostic,) = caught.value.diagnostics
    message = f"`{subject}` takes only feature maps of channels x height x width; found 3x{sides}"
    assert (diagnostic.code, diagnostic.message) == ("E301", message)


@pytest.mark.parametrize("sides", ["17", "7x17x16"])
@pytest.mark.parametrize(
    "operator", ["conv(4, 3, stride=2, {})", "conv(4, 4, {})", "avgpool(3, {})", "avgpool(4, stride=3, {})"]
)
def test_the_hint_for_same_upper_gives_the_size_over_the_stride_rounded_up(operator: str, sides: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(f"network n {{ input x: 3x{sides}; {operator.format('padding=same_upper')} }}")
    match = re.match(r"put `(.+)` before it and use `(.+)`$", caught.value.diagnostics[0].hint)
    assert match is not None
    pads, arguments = match.groups()
    name, first = operator.split("(", maxsplit=1)[0], "4, " if operator.startswith("conv") else ""
    network = rx.loads(f"network n {{ input x: 3x{sides}; {pads}; {name}({first}{arguments}) }}")
    stride = int(re.search(r"stride=(\d)", arguments)[1]) if "stride" in arguments else 1  # type: ignore[index]
    wanted = tuple(-(-int(side) // stride) for side in sides.split("x"))
    assert network.ir.nodes[-1].shape[1:] == wanted


def test_global_pooling_ignores_the_padding_at_every_rank() -> None:
    network = rx.loads("network n { input clip: 3x4x8x8; default avgpool(padding=same_upper); avgpool(global) }")
    assert network.ir.nodes[-1].shape == (3, 1, 1, 1)


def test_an_average_of_a_clip_has_no_kernel_larger_than_the_clip() -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads("network n { input clip: 3x2x8x8; avgpool(3) }")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.span.text) == ("E303", "3")
    assert diagnostic.message == "`kernel` (=3x3x3) is larger than its input (=2x8x8)"
