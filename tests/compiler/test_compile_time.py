"""What compiling on the meta device may not cost."""

from __future__ import annotations

import subprocess
import sys


def test_a_module_on_meta_does_not_import_the_compiler_of_torch() -> None:
    program = (
        "import sys\n"
        "import resnext_dsl as rx\n"
        "model = rx.load('resnext50_32x4d').compile(device='meta')\n"
        "assert all(value.is_meta for value in model.state_dict().values())\n"
        "print([name for name in ('torch._dynamo', 'torch._inductor', 'onnxruntime', 'openvino') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
