"""Checkpoints: reads and writes files, and maps the keys of torchvision and timm onto ours by structure, and back.

- `files`: reading and writing; `unpickling` and `wrappers` find the state_dict in a file without running its content
- `leaves`: the layers of a state_dict as a tree, from keys and shapes alone
- `match`: the search for the order in which the checkpoint's layers are ours
- `exchange`: the decision among layers that could be exchanged, from names (`name_words`) and the graph (`layer_facts`)
- `interchangeable`: the warnings for layers without a decision; `layer_map`: the map of a caller who knows
- `keymap`: the map between the keys
- `nearest`, `mismatch`: the first difference, and the error that reports it, if there is no map
- `transfer`: moves tensors along a map
- `forms`: checkpoints of other forms of the network
- `fine_tuning`, `input_channels`: checkpoints that lack layers, or have other classes or input channels
- `finite`, `known_layouts`, `layer_comparison`: values that are not finite, networks that differ in function
- `filling`: all of these in turn, for a `checkpoint` with its choices
"""

from resnext_dsl.weights.checkpoint import Checkpoint
from resnext_dsl.weights.files import load_checkpoint, save
from resnext_dsl.weights.filling import Filled, load_weights
from resnext_dsl.weights.keymap import KeyMap, map_keys
from resnext_dsl.weights.transfer import carry, export_state_dict, shapes_of

__all__ = [
    "Checkpoint",
    "Filled",
    "KeyMap",
    "carry",
    "export_state_dict",
    "load_checkpoint",
    "load_weights",
    "map_keys",
    "save",
    "shapes_of",
]
