"""Checkpoints: reads and writes files, and maps the keys of torchvision and timm onto ours by structure, and back.

- `leaves`: the layers of a state_dict as a tree, from keys and shapes alone
- `match`: the search for the order in which the checkpoint's layers are ours
- `keymap`: the map between the keys
- `nearest`, `mismatch`: the first difference, and the error that reports it, if there is no map
- `files`: reading and writing
- `transfer`: moves tensors along a map
- `forms`: checkpoints of other forms of the network
"""

from resnext_dsl.weights.files import load_checkpoint, save
from resnext_dsl.weights.keymap import KeyMap, map_keys
from resnext_dsl.weights.transfer import carry, export_state_dict, load_weights, shapes_of

__all__ = ["KeyMap", "carry", "export_state_dict", "load_checkpoint", "load_weights", "map_keys", "save", "shapes_of"]
