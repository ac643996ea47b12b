"""The operators of torch against torch's own convolution, on the CPU."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from resnext_dsl.kernels import torch_operator
from resnext_dsl.kernels.torch_operator import grouped_conv3x3, input_gradient, weight_gradient

STRIDES = pytest.mark.parametrize("stride", [1, 2])


def tensors(dtype=torch.float64, bias=True):
    torch.manual_seed(0)
    x = torch.randn(2, 4, 4, 3, dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(4, 2, 3, 3, dtype=dtype).requires_grad_()
    return x, weight, torch.randn(4, dtype=dtype).requires_grad_() if bias else None


@STRIDES
@pytest.mark.parametrize("relu", [False, True])
def test_the_operator_is_torchs_convolution(stride, relu):
    x, weight, bias = tensors()
    expected = torch.conv2d(x, weight, bias, stride, 1, 1, 2)
    expected = expected.relu() if relu else expected
    found = grouped_conv3x3(x, weight, bias, stride, 2, relu)
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
    slope = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, (x, weight, bias), slope)
    torch.testing.assert_close(torch.autograd.grad(found, (x, weight, bias), slope), wanted)


@STRIDES
def test_gradients_of_any_order(stride):
    x, weight, bias = tensors()

    def convolve(x, weight, bias):
        return grouped_conv3x3(x, weight, bias, stride, 2, False)

    assert torch.autograd.gradcheck(convolve, (x, weight, bias), fast_mode=True)
    assert torch.autograd.gradgradcheck(convolve, (x, weight, bias), fast_mode=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": torch.zeros(2, 8, 4, 3)}, r"8 channels in 2 groups do not fit a weight of shape \(4, 2, 3, 3\)"),
        ({"weight": torch.zeros(4, 2, 5, 5)}, r"do not fit a weight of shape \(4, 2, 5, 5\)"),
        ({"weight": torch.zeros(4, 2, 3, 3).half()}, "the input is torch.float32 on cpu, a parameter torch.float16"),
        ({"bias": torch.zeros(3)}, r"4 channels do not fit a bias of shape \(3,\)"),
        ({"stride": 3}, "found .* and stride 3"),
        ({"x": torch.zeros(4, 4, 3)}, r"expected \(N, C, H, W\)"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_before_a_kept_kernel_runs(monkeypatch, change, said):
    monkeypatch.setattr(torch_operator, "chosen", lambda *_: pytest.fail("a kernel is chosen"))
    given = {"x": torch.zeros(2, 4, 4, 3), "weight": torch.zeros(4, 2, 3, 3), "bias": None, "stride": 1} | change
    with pytest.raises(ValueError, match=said):
        grouped_conv3x3(given["x"], given["weight"], given["bias"], given["stride"], 2, False)


def test_gradients_of_another_shape_are_refused(monkeypatch):
    monkeypatch.setattr(torch_operator, "chosen", lambda *_: pytest.fail("a kernel is chosen"))
    x, weight, slope = torch.zeros(2, 4, 4, 3), torch.zeros(4, 2, 3, 3), torch.zeros(2, 4, 4, 3)
    with pytest.raises(ValueError, match=r"expected a gradient of shape \(2, 4, 2, 2\); found \(2, 4, 4, 3\)"):
        weight_gradient(slope, x, 2, 2, False)
    with pytest.raises(ValueError, match=r"expected a gradient of shape \(2, 4, 2, 2\)"):
        input_gradient(slope, weight, 4, 3, 2, 2)


@pytest.mark.slow
@STRIDES
def test_shapes_strides_and_aliases_for_tracing(stride):
    x, weight, bias = tensors()
    torch.library.opcheck(grouped_conv3x3, (x, weight, bias, stride, 2, False))
    torch.library.opcheck(grouped_conv3x3, (x, weight, None, stride, 2, True))
    slope = torch.randn_like(grouped_conv3x3(x, weight, None, stride, 2, False)).requires_grad_()
    torch.library.opcheck(input_gradient, (slope, weight, 4, 3, stride, 2))
    torch.library.opcheck(weight_gradient, (slope, x, stride, 2, True))
    torch.library.opcheck(weight_gradient, (slope, x, stride, 2, False))


@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
def test_the_gradient_of_the_weight_has_the_memory_format_of_the_weight(memory):
    x, weight, _ = tensors()
    weight = weight.detach().contiguous(memory_format=memory).requires_grad_()
    (found,) = torch.autograd.grad(grouped_conv3x3(x, weight, None, 1, 2, False).sum(), (weight,))
    assert found.stride() == weight.stride()


def test_autocast_computes_in_its_type_as_torch_does():
    x, weight, bias = tensors(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = grouped_conv3x3(x, weight, bias, 1, 2, False)
        expected = torch.conv2d(x, weight, bias, 1, 1, 1, 2)
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)
    gradients = torch.autograd.grad(found.float().square().sum(), (x, weight, bias))
    wanted = torch.autograd.grad(expected.float().square().sum(), (x, weight, bias))
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    torch.testing.assert_close(gradients, wanted, rtol=2e-2, atol=2e-1)


@STRIDES
def test_flops_of_the_forward_are_torchs_and_the_gradients_cost_as_much(stride):
    x, weight, _ = tensors(torch.float32)
    with FlopCounterMode(display=False) as theirs:
        torch.conv2d(x, weight, None, stride, 1, 1, 2)
    with FlopCounterMode(display=False) as ours:
        result = grouped_conv3x3(x, weight, None, stride, 2, False)
    assert ours.get_total_flops() == theirs.get_total_flops() > 0
    with FlopCounterMode(display=False) as backward:
        result.sum().backward()
    assert backward.get_total_flops() == 2 * theirs.get_total_flops()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # Inductor uses it
def test_compile_and_export_keep_the_operator():
    x, weight, bias = (value.detach() for value in tensors(torch.float32))

    class Layer(torch.nn.Module):
        def forward(self, x):
            return grouped_conv3x3(x, weight, bias, 2, 2, False).relu()

    expected = Layer()(x)
    compiled = torch.compile(Layer(), fullgraph=True, dynamic=True)
    torch.testing.assert_close(compiled(x), expected)
    program = torch.export.export(Layer(), (x,), dynamic_shapes={"x": {0: torch.export.Dim("batch", min=1, max=64)}})
    assert "grouped_conv3x3" in str(program.graph)
    more = torch.cat([x, x])
    torch.testing.assert_close(program.module()(more), Layer()(more))
