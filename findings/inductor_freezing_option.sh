#!/usr/bin/env bash
# torch 2.13.0: `torch.compile(model, options={"freezing": True})` does not freeze the weights.
#
# The option is accepted and appears in the compiled function's configuration. The decision to freeze is taken by Dynamo
# before the options are applied, and it reads the global `torch._inductor.config.freezing`. So a change of a weight after
# compilation shows in the output with the option, and does not show with the global setting.
#
# Consequence: a benchmark or a deployment that asks for freezing by the option measures and ships unfrozen weights.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
cat >"$work/show.py" <<'PYTHON'
import torch
from torch import nn


def changes(by_option: bool) -> bool:
    """Whether a weight that changes after compilation changes the output."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval().requires_grad_(False)
    images = torch.ones(1, 3, 8, 8)
    torch._inductor.config.freezing = not by_option
    compiled = torch.compile(model, options={"freezing": True} if by_option else None)
    with torch.no_grad():
        before = compiled(images).clone()
        model[0].weight.mul_(2)
        after = compiled(images)
    torch._inductor.config.freezing = False
    return not torch.equal(before, after)


print("torch", torch.__version__.partition("+")[0])
by_option, by_setting = changes(by_option=True), changes(by_option=False)
print("options={'freezing': True}: a changed weight changes the output:", by_option)
print("torch._inductor.config.freezing = True: a changed weight changes the output:", by_setting)
assert (by_option, by_setting) == (True, False), "the behaviour has changed"
PYTHON
"$work/venv/bin/python" "$work/show.py"
