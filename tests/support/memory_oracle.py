"""What torch itself holds: values alive together in inference, values that autograd saves, counted on the module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Alive(TorchDispatchMode):
    """Adds up, after every operator of torch, the memory of all values that are alive then.

    Attributes:
        most: The largest sum so far, in bytes.
    """

    def __init__(self, constants: Iterable[Tensor], values: Sequence[Tensor]) -> None:
        super().__init__()
        self.constants = {tensor.untyped_storage()._cdata for tensor in constants}
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.most = 0
        self.note(values)

    def note(self, values: Iterable[Any]) -> None:
        for value in values:
            if isinstance(value, Tensor) and value.untyped_storage()._cdata not in self.constants:
                storage = value.untyped_storage()
                self.alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.drop()
        self.most = max(self.most, sum(size for _, size in self.alive.values()))

    def drop(self) -> None:
        # a storage's address may be that of one that is gone
        self.alive = {key: pair for key, pair in self.alive.items() if not pair[0].expired()}

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.drop()
        result = operator(*args, **(kwargs or {}))
        self.note(tree_leaves((args, kwargs, result)))
        return result


def alive_at_once(model: nn.Module, *values: Tensor) -> int:
    """The most bytes of values alive together in an inference, the inputs included."""
    with torch.no_grad(), Alive([*model.parameters(), *model.buffers()], values) as alive:
        model.eval()(*values)
    return alive.most


def saved_for_backward(model: nn.Module, *values: Tensor) -> int:
    """Bytes that autograd saves in a forward in training mode, each memory once, parameters and buffers aside."""
    constants = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in constants:
            saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        results = model.train()(*values)
    assert results is not None
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
