"""Measures the configurations of a layer on the card, beside torch's kernel.

A configuration counts only if its result agrees with torch's result, so that a compiler fault cannot change a network.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from resnext_dsl.devices.run_time import run_seconds
from resnext_dsl.kernels.choice_table import KernelChoice
from resnext_dsl.kernels.configurations import Configuration

ROUNDS = 3
"""The rounds in which all candidates take turns; a candidate's time is its median."""

TURN = 2e-3
"""Seconds of one turn."""

MOST_CALLS = 50

MARGIN = 0.97
"""A configuration is chosen if it takes at most this part of the time of torch's kernel."""

KEPT = 3
"""The configurations that are measured again, after one turn of each."""

TOLERANCES = {"float32": 2e-2, "float16": 1e-2, "bfloat16": 4e-2}
"""The largest difference from torch's result, as a part of the largest value: kernels add in different orders.

In float32 both may round products to TF32.
"""

Run = Callable[[], Tensor]


def measured(
    candidates: Iterable[Configuration],
    run: Callable[[Configuration], Tensor],
    torch_run: Run,
    device: torch.device,
) -> KernelChoice:
    """The fastest of torch's kernel and of the configurations that compute the same.

    A configuration that does not compile, or needs more memory than the card has, is left out.

    Args:
        candidates: The configurations.
        run: Calls a kernel with a configuration.
        torch_run: Calls torch's kernel.
        device: The card.

    Raises:
        torch.OutOfMemoryError: If torch's own kernel runs out of memory.
    """
    expected = torch_run()
    runs: dict[Configuration | None, Run] = {None: torch_run}
    for configuration in candidates:
        try:
            result = run(configuration)
        except Exception:  # Triton's compiler and driver raise errors of many types
            continue
        if agrees(result, expected):
            runs[configuration] = lambda configuration=configuration: run(configuration)  # type: ignore[misc]
        del result
    first = {configuration: _turn(call, device) for configuration, call in runs.items()}
    fastest = sorted((key for key in first if key is not None), key=lambda key: first[key])[:KEPT]
    times: dict[Configuration | None, list[float]] = {key: [first[key]] for key in (None, *fastest)}
    for _ in range(ROUNDS - 1):
        for key, taken in times.items():
            taken.append(_turn(runs[key], device))
    medians = {key: statistics.median(taken) for key, taken in times.items()}
    best = min(fastest, key=lambda key: medians[key], default=None)
    chosen = best if best is not None and medians[best] <= MARGIN * medians[None] else None
    return KernelChoice(configuration=chosen, seconds=medians[best] if best else 0.0, torch_seconds=medians[None])


def agrees(result: Tensor, expected: Tensor) -> bool:
    """Whether two results differ by at most the tolerance of their type; a value that is not finite never agrees."""
    tolerance = TOLERANCES[str(expected.dtype).removeprefix("torch.")]
    scale = expected.abs().amax()
    difference = (result.float() - expected.float()).abs().amax()
    return bool(difference <= tolerance * scale.float())


def with_smaller_batch(attempt: Callable[[int], KernelChoice], batch: int) -> KernelChoice | None:
    """Measures with the whole batch, or with a half, a quarter and so on if memory runs out; a warning says so.

    Args:
        attempt: Measures with a number of images.
        batch: The images of the layer.

    Returns:
        The choice; None if even one image does not fit.
    """
    images = batch
    while images:
        try:
            choice = attempt(images)
        except torch.OutOfMemoryError:
            images //= 2
            continue
        if images < batch:
            warnings.warn(
                f"kernels are measured with {images} of {batch} images: the card is out of memory", stacklevel=2
            )
        return choice
    return None


def _turn(call: Run, device: torch.device) -> float:
    """Seconds of one call, the mean of the calls that fit into a turn."""
    call()
    once = run_seconds(call, device)
    calls = max(1, min(MOST_CALLS, int(TURN / max(once, 1e-6))))

    def repeated() -> None:
        for _ in range(calls):
            call()

    return run_seconds(repeated, device) / calls
