"""Scores of untrained networks, which rank networks without training them.

`SCORES` is the table. Each score is a function of a model and a batch; it works on a copy, so that the model stays
unchanged. For all scores higher is better. Values of different scores are not comparable.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Batch = tuple[Tensor, Tensor]
"""Images, batch x channels x height x width, and their labels."""

NORMALISATIONS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)

ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.SELU,
    nn.SiLU,
    nn.GELU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Softplus,
)
"""Activations with a bend at or near 0, without gates such as the sigmoid of squeeze-and-excitation."""


def gradient_norm(model: nn.Module, batch: Batch) -> float:
    """The norms of the gradients of the cross-entropy, added up over the weights of convolutions and linear layers.

    Batch normalisation uses the statistics of the batch.

    Source: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, Section 3.2, `grad_norm`.
    """
    images, labels = batch
    replica = _replica(model, torch.float32)
    with _quiet(images):
        loss = F.cross_entropy(_scores(replica(images.float())), labels)
        return float(sum(gradient.norm() for _, gradient in _gradients(loss, replica)))


def synflow(model: nn.Module, batch: Batch) -> float:
    """The natural logarithm of the synaptic flow: the flow through all weights together, without their signs.

    R is the sum of the outputs for an image of ones and absolute values of all parameters. The flow is the sum of
    |w dR/dw| over the weights of convolutions and linear layers. Normalisations are the identity, as batch
    normalisation is before training. The logarithm keeps the flow of deep networks within a float. The score uses the
    shape of the batch only.

    Source: Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow".
    NeurIPS 2020, equation 1 and Section 5; as a score Abdelfattah et al., ICLR 2021, Section 3.2.
    """
    images, _ = batch
    replica = _replica(model, torch.float64)
    with torch.no_grad():
        for parameter in replica.parameters():
            parameter.abs_()
    for module in replica.modules():
        if isinstance(module, NORMALISATIONS):
            setattr(module, "forward", _passed_on)  # noqa: B010 - replaces the method
    with _quiet(images):
        total = _scores(replica(torch.ones_like(images[:1], dtype=torch.float64))).sum()
        flow = sum(float((weight * gradient).abs().sum()) for weight, gradient in _gradients(total, replica))
    return math.log(flow) if flow > 0 else -math.inf


def naswot(model: nn.Module, batch: Batch) -> float:
    """The log-determinant of the kernel of activation patterns: it is higher if the patterns of images differ more.

    Each image has a code with one bit a unit: whether the input of the activation is above 0. The kernel counts the
    equal bits of two images. Batch normalisation uses the statistics of the batch. The score is -inf if two images have
    the same code.

    Source: Mellor et al., "Neural Architecture Search without Training", ICML 2021, Section 3, equations 1 and 2. The
    authors' code uses ReLU alone; this score uses all `ACTIVATIONS`.
    """
    images, _ = batch
    replica = _replica(model, torch.float32)
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64)

    def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        code = (inputs[0].flatten(1) > 0).to(torch.float32)
        # Sums of whole numbers, exact in float32 up to 2 ** 24 units a layer.
        kernel.add_((code @ code.T + (1 - code) @ (1 - code).T).double().cpu())

    for module in replica.modules():
        if isinstance(module, ACTIVATIONS):
            module.register_forward_pre_hook(count)
    with _quiet(images), torch.no_grad():
        replica(images.float())
    sign, logarithm = torch.linalg.slogdet(kernel)
    return float(logarithm) if sign != 0 else -math.inf


MIXED = 0.01
"""The share of noise in the second image of `zen_score`; ZenNAS's `mixup_gamma`."""


def zen_score(model: nn.Module, batch: Batch) -> float:
    """The change of the features for a change of the image, with normal weights, before normalisation.

    `log E|f(x) - f(x + 0.01 e)|` + the sum over batch normalisations of `log sqrt(mean variance)`. x and e are normal
    noise; f is the input of the head. The score uses the shape of the batch only. Shortcuts stay in place.

    Source: Lin et al., "Zen-NAS", ICCV 2021, Algorithm 1. The distance is a sum of absolute differences, as in the
    authors' code.
    """
    images, _ = batch
    score = _zen(_replica(model, torch.float32), images)
    # Deep networks without normalisation exceed float32, but its convolutions are several times as fast as float64.
    return score if math.isfinite(score) else _zen(_replica(model, torch.float64), images)


def _zen(replica: nn.Module, images: Tensor) -> float:
    random = torch.Generator().manual_seed(0)
    _drawn_anew(replica, random)
    spreads: list[Tensor] = []

    def spread(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        over = [dimension for dimension in range(inputs[0].dim()) if dimension != 1]
        spreads.append(inputs[0].var(over, correction=0).mean().sqrt().log())

    like = next(replica.parameters())
    noise, moved = (torch.randn(images.shape, generator=random).to(like) for _ in range(2))
    hooks = [m.register_forward_pre_hook(spread) for m in replica.modules() if isinstance(m, _BatchNorm)]
    with _quiet(images), torch.no_grad():
        features = _features(replica, noise)
        for hook in hooks:
            hook.remove()
        distance = (features - _features(replica, noise + MIXED * moved)).abs().flatten(1).sum(1).mean()
    return float(distance.log() + sum(spreads))


class Score(NamedTuple):
    """A row of the table: the function, whether it reads labels, and the paper."""

    compute: Callable[[nn.Module, Batch], float]
    needs_labels: bool
    paper: str


SCORES: Mapping[str, Score] = MappingProxyType(
    {
        "gradient_norm": Score(gradient_norm, True, "Abdelfattah et al., ICLR 2021. https://arxiv.org/abs/2101.08134"),
        "synflow": Score(synflow, False, "Tanaka et al., NeurIPS 2020. https://arxiv.org/abs/2006.05467"),
        "naswot": Score(naswot, False, "Mellor et al., ICML 2021. https://arxiv.org/abs/2006.04647"),
        "zen_score": Score(zen_score, False, "Lin et al., ICCV 2021. https://arxiv.org/abs/2102.01063"),
    }
)
"""Name -> score."""


def random_batch(shape: tuple[int, ...], classes: int, size: int = 16, seed: int = 0) -> Batch:
    """A batch of normal noise with random labels."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn((size, *shape), generator=random), torch.randint(classes, (size,), generator=random)


def _replica(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy in evaluation mode whose batch normalisations use the statistics of the batch.

    Scores leave out dropout and outputs that exist in training only.
    """
    replica = copy.deepcopy(model).to(dtype).eval().requires_grad_(True)
    for module in replica.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    return replica


def _gradients(value: Tensor, model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """The weights of convolutions and linear layers with their gradients, as in the papers, without unused weights."""
    layers = [module for module in model.modules() if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)]
    weights = [layer.weight for layer in layers]
    gradients = torch.autograd.grad(value, weights, allow_unused=True)
    return [(w.detach(), gradient) for w, gradient in zip(weights, gradients, strict=True) if gradient is not None]


def _scores(output: Any) -> Tensor:
    """The main output."""
    return cast(Tensor, output[0] if isinstance(output, tuple) else output)


def _features(model: nn.Module, images: Tensor) -> Tensor:
    """The input of the head."""
    compute = getattr(model, "forward_features", model)
    return _scores(compute(images))


def _passed_on(x: Tensor, *_: Any) -> Tensor:
    return x


def _drawn_anew(model: nn.Module, random: torch.Generator) -> None:
    """Draws kernels and matrices from the normal distribution, and resets normalisations."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
                module.weight.copy_(torch.randn(module.weight.shape, generator=random))
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, NORMALISATIONS) and getattr(module, "weight", None) is not None:
                cast(Tensor, module.weight).fill_(1.0)
                if module.bias is not None:
                    cast(Tensor, module.bias).zero_()


@contextmanager
def _quiet(images: Tensor) -> Iterator[None]:
    """Enables gradients, and restores torch's generators afterwards."""
    devices = [images.device.index or 0] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.enable_grad():
        yield
