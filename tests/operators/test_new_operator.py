"""A new operator is one row: three rows added to the table at run time work in every stage, with no other change."""

from typing import Any

import operator_cases
import pytest
import test_operator_algebra
import test_operator_costs
import test_operator_memory
import test_operator_table
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_oracle import alive_at_once, saved_for_backward
from space_oracle import space_from
from torch import nn

import resnext_dsl as rx
from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.costs.fvcore_count import agree, measure
from resnext_dsl.display.stage_table import operator_text
from resnext_dsl.formatter.format import format_text
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.graph.ir import fingerprint
from resnext_dsl.operators import OPERATORS, Attributes, Expression, ModuleCall, Operator
from resnext_dsl.operators.activation import NoAttributes
from resnext_dsl.operators.algebra import CHANNELWISE, Tensor, WeightLayout, crosses
from resnext_dsl.operators.arguments import Positive
from resnext_dsl.operators.memory_rules import INPUT_SAVED, MemoryRules, Saved, ScalarCount
from resnext_dsl.operators.reference import reference
from resnext_dsl.operators.rules import elements, first_shape, map_of, no_parameters
from resnext_dsl.semantics import evaluate
from resnext_dsl.semantics.spec_files import text_source
from resnext_dsl.semantics.values import OperatorValue
from resnext_dsl.weights import load_weights


class Pointwise(Attributes):
    """Attributes of `pointwise`.

    Attributes:
        channels: Number of output channels.
        bias: Whether an offset is learned for each output channel.
    """

    channels: Positive
    bias: bool = False


def _pointwise_shape(attributes: Pointwise, inputs: Any) -> Any:
    return attributes.channels, *map_of("pointwise", inputs)[1:]


def _pointwise_tensors(attributes: Pointwise, inputs: Any) -> tuple[Tensor, ...]:
    weight = Tensor("weight", (attributes.channels, inputs[0][0], 1, 1))
    return (weight, Tensor("bias", (attributes.channels,))) if attributes.bias else (weight,)


def _minimum_source(attributes: NoAttributes, inputs: Any) -> Expression:
    text = "{0}"
    for place in range(1, len(inputs)):
        text = f"torch.minimum({text}, {{{place}}})"
    return Expression(text)


def _minimum_saves(attributes: NoAttributes, inputs: Any, run: Any) -> Saved:
    kept: list[int] = []
    between, flows = 0, run.gradients[0]
    for place in range(1, len(inputs)):
        flows = flows or run.gradients[place]
        if flows:  # torch keeps both operands: the input, and the result so far
            kept += [0, place] if place == 1 else [place]
            between += run.batch * elements(inputs[0]) if place > 1 else 0
    return Saved(tuple(kept), extra=ScalarCount(between))


def _logsigmoid_buffer(attributes: NoAttributes, inputs: Any, batch: int) -> ScalarCount:
    return ScalarCount(batch * elements(inputs[0]))  # torch makes exp(-|x|) beside the result


def _logsigmoid_saves(attributes: NoAttributes, inputs: Any, run: Any) -> Saved:
    return Saved((0,), extra=_logsigmoid_buffer(attributes, inputs, run.batch))


POINTWISE = Operator(
    name="pointwise",
    kind="convolution",
    summary="Convolution of 1x1 (`nn.Conv2d`).",
    attributes=Pointwise,
    shape=_pointwise_shape,
    source=lambda a, inputs: ModuleCall("nn.Conv2d", (inputs[0][0], a.channels, 1), (("bias", a.bias),)),
    parameters=lambda a, inputs: a.channels * (inputs[0][0] + a.bias),
    flops=lambda a, inputs: a.channels * elements(inputs[0]),
    memory=INPUT_SAVED,
    algebra=crosses("it mixes channels")._replace(tensors=_pointwise_tensors, weight=WeightLayout("channels")),
    overwritable=True,
    fvcore="conv",
    init_fields=("weight", "bias"),
    size_text=lambda a: f"{a.channels} wide",
)
MINIMUM = Operator(
    name="minimum",
    kind="merge",
    summary="Smallest of values of equal shape (`torch.minimum`).",
    attributes=NoAttributes,
    shape=first_shape,
    source=_minimum_source,
    parameters=no_parameters,
    flops=None,
    memory=MemoryRules(_minimum_saves, view=lambda a, inputs, training: len(inputs) == 1),
    algebra=CHANNELWISE,
    inputs=(1, None),
    commutes=True,
    pairwise=True,
)
LOGSIGMOID = Operator(
    name="logsigmoid",
    kind="activation",
    summary="log(sigmoid(x)) (`nn.LogSigmoid`).",
    attributes=NoAttributes,
    shape=first_shape,
    source=lambda a, inputs: ModuleCall("nn.LogSigmoid"),
    parameters=no_parameters,
    flops=None,
    memory=MemoryRules(_logsigmoid_saves, scratch=_logsigmoid_buffer),
    algebra=CHANNELWISE,
)
ROWS = (POINTWISE, MINIMUM, LOGSIGMOID)

CASES = {
    "pointwise": operator_cases.given(
        operator_cases.maps, {"channels": operator_cases.channels}, bias=operator_cases.flag
    ),
    "minimum": operator_cases.several(operator_cases.either),
    "logsigmoid": operator_cases.given(operator_cases.either),
}

TEXT = """\
network added {
    input image: 3x8x8
    param width = 4 in {2, 4, 8}
    stem { pointwise(width, bias=true); relu }
    stage body {
        split {
            path { pointwise(width); bn }
            path { pointwise(width); bn }
            path { pointwise(width); bn; logsigmoid }
        } merge minimum
        pointwise(8)
        bn
        relu
    }
    head { avgpool(global); flatten; linear(2) }
    init { pointwise.weight = constant(0.5); pointwise.bias = ones; stem.pointwise.bias = constant(0.25) }
}
"""


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in ROWS:
        monkeypatch.setitem(OPERATORS, row.name, row)
        monkeypatch.setitem(evaluate._MEANINGS, row.name, OperatorValue(row))  # made from the table on import
        monkeypatch.setitem(operator_cases.CASES, row.name, CASES[row.name])


def images() -> torch.Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def by_hand(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The network of `TEXT` in torch's own functions, with the tensors of a module of the form as written."""
    t = model.state_dict()
    functional = nn.functional

    def normed(name: str, x: torch.Tensor) -> torch.Tensor:
        fields = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(t[f"{name}.{field}"] for field in fields))

    x = functional.conv2d(x, t["stem.pointwise.weight"], t["stem.pointwise.bias"]).relu()
    start = "body.paths"
    paths = [
        normed(f"{start}.{number}.bn", functional.conv2d(x, t[f"{start}.{number}.pointwise.weight"]))
        for number in range(3)
    ]
    paths[2] = functional.logsigmoid(paths[2])
    x = torch.stack(paths).amin(0)
    x = normed("body.bn", functional.conv2d(x, t["body.pointwise.weight"])).relu()
    return functional.linear(x.mean((2, 3)), t["head.linear.weight"], t["head.linear.bias"])


def perturbed(model: nn.Module) -> nn.Module:
    """The module with every parameter and statistic different, in eval mode."""
    generator = torch.Generator().manual_seed(1)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(torch.rand(tensor.shape, generator=generator) / 2)
    return model.eval()


def test_it_compiles_to_torch() -> None:
    model = perturbed(rx.loads(TEXT).compile(form="written"))
    torch.testing.assert_close(model(images()), by_hand(model, images()))


def test_it_is_initialised_by_rules() -> None:
    state = rx.loads(TEXT).compile(form="written").state_dict()
    assert torch.equal(state["body.paths.0.pointwise.weight"], torch.full((4, 4, 1, 1), 0.5))
    assert torch.equal(state["stem.pointwise.bias"], torch.full((4,), 0.25))
    with pytest.raises(rx.ArchError, match=r"E209.*no `pointwise` in `body` has a bias"):
        rx.loads(TEXT.replace("stem.pointwise.bias", "body.pointwise.bias"))


def test_it_costs_what_fvcore_counts() -> None:
    network = rx.loads(TEXT)
    agree(network.cost(), measure(network.compile(form="written"), (3, 8, 8)))
    assert network.cost().depth == 4
    assert network.cost().uncounted == (("flatten", 1), ("logsigmoid", 1), ("minimum", 1), ("relu", 2))


def test_its_memory_is_that_of_torch() -> None:
    network = rx.loads(TEXT)
    model = network.compile(form="written")
    memory = network.memory(batch=2)
    assert memory.peak_activations == alive_at_once(model, images())
    assert memory.saved_activations == saved_for_backward(model, images())


def test_the_next_layer_writes_over_its_result() -> None:
    assert rx.loads(TEXT).emit(form="written").count("inplace=True") == 2


def test_it_is_rewritten_for_inference() -> None:
    """Batch norms fold into `pointwise`, and the three that read one value become one where paths allow it."""
    network = rx.loads(TEXT)
    model = perturbed(network.compile(form="written"))
    rewritten = network.rewrite(mode="inference")
    assert not [node for node in rewritten.graph.nodes if node.operator == "bn"]
    folded = network.compile(mode="inference", weights=model.state_dict())
    torch.testing.assert_close(folded(images()), model(images()), rtol=1e-4, atol=1e-5)


def test_paths_of_it_become_one() -> None:
    text = TEXT.replace(" bn; logsigmoid }", " bn }").replace("merge minimum", "merge concat")
    network = rx.loads(text)
    joined = network.rewrite(form="c").graph
    assert [node.shape[0] for node in joined.nodes if node.operator == "pointwise"] == [4, 12, 8]
    model = perturbed(network.compile(form="written"))
    other = network.compile(form="c", weights=model.state_dict()).eval()
    torch.testing.assert_close(other(images()), model(images()))


def test_its_inputs_may_change_places() -> None:
    last = "path { pointwise(width); bn; logsigmoid }"
    others = "path { pointwise(width); bn }\n            path { pointwise(width); bn }\n"
    one, other = f"{others}            {last}\n", f"            {last}\n{others}"
    assert one in TEXT
    graphs = [rx.loads(text).ir for text in (TEXT, TEXT.replace(one, other))]
    assert graphs[0].nodes != graphs[1].nodes
    assert fingerprint(graphs[0]) == fingerprint(graphs[1])


def test_it_is_formatted() -> None:
    assert format_text(text_source(TEXT.replace("    ", "  "), "<spec>", DEFAULTS)) == TEXT


def test_it_is_shown_with_its_size() -> None:
    pointwise = next(node for node in rx.loads(TEXT).ir.nodes if node.operator == "pointwise")
    assert operator_text(pointwise) == "pointwise 4 wide"


def test_a_space_counts_it() -> None:
    widths = [2, 4, 8]
    columns = space_from(TEXT).cost({"width": widths})
    costs = [rx.loads(TEXT, width=width).cost() for width in widths]
    for measure_name in COST_MEASURES:
        assert getattr(columns, measure_name).tolist() == [getattr(cost, measure_name) for cost in costs]


def test_weights_under_other_names_are_loaded() -> None:
    model, other = (rx.loads(TEXT).compile(form="written").eval() for _ in range(2))
    perturbed(model)
    renamed = {key.replace("pointwise", "conv").replace("body", "layer1"): v for key, v in model.state_dict().items()}
    load_weights(other, renamed)
    torch.testing.assert_close(other(images()), model(images()))


def test_the_reference_documents_it() -> None:
    page = reference()
    assert "| `pointwise(channels, bias=false)` | Convolution of 1x1 (`nn.Conv2d`). | counted |" in page
    assert "| `minimum(value, ...)` | Smallest of values of equal shape (`torch.minimum`). | not counted |" in page
    assert "| `logsigmoid` | log(sigmoid(x)) (`nn.LogSigmoid`). | not counted |" in page
    assert "| `bias` | `conv`, `conv_transpose`, `pointwise` | whether an offset is learned" in page


PER_ROW = [
    test_operator_algebra.test_tensors_are_those_of_the_module,
    test_operator_algebra.test_joined_operators_compute_the_values_side_by_side,
    test_operator_costs.test_a_row_counts_as_torch_and_fvcore,
    test_operator_memory.test_a_training_step_keeps_what_the_row_says,
    test_operator_memory.test_inference_holds_what_the_row_says,
    test_operator_memory.test_buffers_are_those_of_the_module,
]


@pytest.mark.parametrize("check", PER_ROW, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_line_of_cases_tests_it(name: str, check: Any, data: st.DataObject) -> None:
    check.hypothesis.inner_test(name, data)


@pytest.mark.parametrize("name", CASES)
def test_its_row_is_complete(name: str) -> None:
    test_operator_table.test_a_row_is_complete(name)
