"""Types of objects that training scripts store beside the weights. `unpickling` reads them as placeholders."""

from __future__ import annotations

_MODULES = {
    "argparse": "Namespace",
    "types": "SimpleNamespace",
    "copyreg": "_reconstructor",
    "copy_reg": "_reconstructor",
    "builtins": "object list dict int float str bool",
    "__builtin__": "object list dict int float",
    "numpy.core.multiarray": "scalar _reconstruct",
    "numpy._core.multiarray": "scalar _reconstruct",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "numpy": "ndarray dtype bool_ float16 float32 float64 int8 int16 int32 int64 uint8",
    "numpy.random._pickle": "__randomstate_ctor __generator_ctor",
    "numpy.dtypes": "Float16DType Float32DType Float64DType BoolDType Int8DType "
    "Int16DType Int32DType Int64DType UInt8DType StrDType",
    "pathlib": "Path PosixPath WindowsPath PurePosixPath PureWindowsPath",
    "pathlib._local": "PosixPath WindowsPath PurePosixPath",
    "datetime": "datetime date timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "uuid": "UUID",
    "torch.optim.lr_scheduler": "StepLR MultiStepLR LambdaLR CosineAnnealingLR "
    "OneCycleLR LinearLR ExponentialLR SequentialLR ReduceLROnPlateau",
    "torch.amp.grad_scaler": "OptState",
    "torch.cuda.amp.grad_scaler": "OptState",
    "torch.torch_version": "TorchVersion",
    "typing": "Any",
    "omegaconf.base": "ContainerMetadata Metadata",
    "omegaconf.dictconfig": "DictConfig",
    "omegaconf.listconfig": "ListConfig",
    "omegaconf.nodes": "AnyNode StringNode IntegerNode FloatNode BooleanNode",
    "pytorch_lightning.callbacks.model_checkpoint": "ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping": "EarlyStopping",
    "lightning.pytorch.callbacks.model_checkpoint": "ModelCheckpoint",
    "lightning.pytorch.callbacks.early_stopping": "EarlyStopping",
}
"""Module -> the names of its inert types and functions."""

OBJECTS = frozenset(f"{module}.{name}" for module, names in _MODULES.items() for name in names.split())
"""Full names of types whose objects are no mappings."""

MAPPINGS = (
    "yacs.config.CfgNode",
    "easydict.EasyDict",
    "addict.addict.Dict",
    "fvcore.common.config.CfgNode",
    "detectron2.config.config.CfgNode",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
)
"""Classes derived from dict, whose objects are read as ordered dictionaries."""
