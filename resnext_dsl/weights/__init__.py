"""Checkpoints: files, torchvision's and timm's keys mapped onto ours by structure, and the way back.

`leaves` and `match` decide which layer is which, from keys and shapes alone; `keymap` is the map, `mismatch` the
words for when there is none; `files` reads and writes; `carry` moves the tensors.
"""

from resnext_dsl.weights.files import load_checkpoint, save
from resnext_dsl.weights.keymap import KeyMap, map_keys
from resnext_dsl.weights.transfer import carry, export_state_dict, load_weights, shapes_of

__all__ = ["KeyMap", "carry", "export_state_dict", "load_checkpoint", "load_weights", "map_keys", "save", "shapes_of"]
