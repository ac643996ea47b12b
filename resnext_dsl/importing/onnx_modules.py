"""The modules that torch's exporters leave in an ONNX file: in the names of operators, or in their metadata."""

from __future__ import annotations

import re
from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.importing.model_file import MODULE_PATH, class_name, module_path, place_of

SCOPES = "pkg.torch.onnx.name_scopes"
CLASSES = "pkg.torch.onnx.class_hierarchy"
STACK = "pkg.torch.onnx.stack_trace"

UNKNOWN = "_empty_nn_module_stack_from_metadata_hook"
"""The path that torch writes for an operator without a module."""

_MADE_UP = re.compile(r"(val|const|constant|tensor|_)_?\d*", re.IGNORECASE)
_QUOTED = re.compile(r"'([^'\\]{0,300})'")


class Origin(NamedTuple):
    """The place of an operator in the source module.

    Attributes:
        path: The path of its innermost module.
        place: Its line, "FILE:LINE", or "".
        classes: Path of each of its modules -> the name of its class.
    """

    path: str = ""
    place: str = ""
    classes: tuple[tuple[str, str], ...] = ()


def origin_of(proto: Any) -> Origin:
    """The origin of an operator: from the metadata of torch's newer exporter, or from the names of the older one."""
    notes = {entry.key: entry.value for entry in proto.metadata_props} if hasattr(proto, "metadata_props") else {}
    if SCOPES not in notes:
        path = _path_of_name(proto.name)
        return Origin(path, "", tuple((part, "Module") for part in _parents(path)))
    scopes, classes = _QUOTED.findall(notes[SCOPES])[:-1], _QUOTED.findall(notes.get(CLASSES, ""))
    paths = [re.sub(r"@\d+$", "", scope) for scope in scopes]
    pairs = [(path, class_name(qualified)) for path, qualified in zip(paths, classes, strict=False)]
    kept = tuple((path, name) for path, name in pairs if not path or module_path(path) not in ("", UNKNOWN))
    path = module_path(paths[-1]) if paths else ""
    return Origin("" if path == UNKNOWN else path, place_of(notes.get(STACK, "")), kept)


def _path_of_name(name: str) -> str:
    """`/layer1/layer1.0/conv1/Conv -> layer1.0.conv1`: children of containers repeat the path of their container."""
    parts = name.split("/")
    if len(parts) < 3 or parts[0] or len(parts) > 40:
        return ""
    path: list[str] = []
    before = ""
    for part in parts[1:-1]:
        path.append(part.removeprefix(f"{before}.") if before else part)
        before = part
    return module_path(".".join(path))


def _parents(path: str) -> list[str]:
    """The path of each module around a module, and its own."""
    parts = path.split(".") if path else []
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def is_parameter_name(name: str) -> bool:
    """Whether a stored tensor has the name of a parameter; exporters number the constants of formulas."""
    return bool(MODULE_PATH.fullmatch(name)) and not _MADE_UP.fullmatch(name) and not name[0].isdigit()
