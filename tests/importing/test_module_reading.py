"""Networks of torchvision and timm, read and compiled: equal parameters, FLOPs, outputs, statistics and gradients."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from import_oracle import compiled, differences
from references import fill, timm, timm_structure, torchvision, torchvision_structure
from torch import Tensor, nn
from usual_graph import usual

import resnext_dsl as rx
from resnext_dsl.graph.ir import fingerprint
from resnext_dsl.importing.carried_weights import our_state, source_state
from resnext_dsl.importing.exported_trace import trace_exported_module
from resnext_dsl.importing.lowering import lower
from resnext_dsl.importing.module_reading import read_module

DOZEN = {
    "resnet18": (3, 64, 64),
    "test_convnext": (3, 64, 64),
    "test_byobnet": (3, 64, 64),
    "efficientnet_b0": (3, 64, 64),
    "tf_efficientnet_b0": (3, 64, 64),
    "mobilenetv3_small_050": (3, 64, 64),
    "ecaresnet50t": (3, 64, 64),
    "resnest14d": (3, 64, 64),
    "res2net50_14w_8s": (3, 64, 64),
    "convnextv2_atto": (3, 64, 64),
    "nfnet_l0": (3, 64, 64),
    "mixnet_s": (3, 64, 64),
}
"""Networks of timm, each with patterns of its own, and a small image."""


def drawn(name: str, **options: Any) -> nn.Module:
    model = timm.create_model(name, pretrained=False, **options)
    fill(model, 3)
    return model


@pytest.mark.parametrize("name", DOZEN)
def test_a_network_of_timm_is_equal_after_import(name: str) -> None:
    model = drawn(name)
    assert list(differences(model, read_module(model, DOZEN[name], name, f"timm:{name}"), DOZEN[name])) == []


@pytest.mark.parametrize("name", ["vgg11_bn", "squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5", "densenet121"])
def test_a_network_of_torchvision_is_equal_after_import(name: str) -> None:
    model = torchvision.models.get_model(name, weights=None)
    fill(model, 4)
    shape = (3, 64, 64)
    assert list(differences(model, read_module(model, shape, name, f"torchvision:{name}"), shape)) == []


def test_nodes_have_the_paths_of_their_modules_and_scopes_their_classes() -> None:
    graph = read_module(timm_structure("resnet18"), (3, 64, 64), "resnet18", "timm:resnet18").graph
    names = [node.name for node in graph.nodes]
    assert names[:6] == ["image", "conv1", "bn1", "act1", "maxpool", "layer1.0.conv1"]
    assert names[10:12] == ["layer1.0.add", "layer1.0.act2"]
    assert names[-3:] == ["global_pool.pool", "global_pool.flatten", "fc"]
    labels = {name: scope.label for name, scope in graph.scopes.items()}
    assert labels["layer1.0"] == "BasicBlock"
    assert labels["layer1"] == "Sequential"
    assert [output.name for output in graph.outputs] == ["main"]


@pytest.mark.parametrize("training", [False, True])
def test_reading_changes_nothing(training: bool) -> None:
    model = drawn("test_byobnet").train(training)
    model.get_submodule("stages.0").eval()
    flags = [module.training for module in model.modules()]
    state, attributes = copy.deepcopy(model.state_dict()), [set(vars(module)) for module in model.modules()]
    read_module(model, (3, 64, 64), "n", "test")
    assert [module.training for module in model.modules()] == flags
    assert [set(vars(module)) for module in model.modules()] == attributes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_weights_come_back_under_the_names_of_the_source() -> None:
    model = drawn("convnextv2_atto")
    lowered = read_module(model, (3, 64, 64), "n", "test")
    theirs = model.state_dict()
    back = source_state(lowered, our_state(lowered))
    assert sorted(back) == sorted(theirs)
    assert all(torch.equal(back[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize(("name", "outputs"), [("googlenet", 3), ("inception_v3", 2)])
def test_auxiliary_classifiers_are_outputs_in_training(name: str, outputs: int) -> None:
    model = torchvision_structure(name)
    size = 299 if name == "inception_v3" else 224
    graph = read_module(model, (3, size, size), name, f"torchvision:{name}").graph
    assert [output.training_only for output in graph.outputs] == [False] + [True] * (outputs - 1)
    assert graph.outputs[1].name.startswith("aux_logits")


def test_torch_export_gives_the_same_network() -> None:
    model = drawn("test_byobnet")
    shape = (3, 64, 64)
    read = read_module(model, shape, "n", "test")
    exported = lower(trace_exported_module(model, shape, "n", "test"))
    assert fingerprint(exported.graph) == fingerprint(read.graph)
    assert [node.name for node in exported.graph.nodes] == [node.name for node in read.graph.nodes]
    assert exported.weights == read.weights


class Checked(nn.Module):
    """A block that torch.fx cannot trace: it asks for the type of its value."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        if type(x) is not Tensor and not isinstance(x, torch.Tensor):
            raise TypeError("a tensor is needed")
        return self.conv(x).relu()


def test_a_module_that_torch_fx_cannot_trace_is_read_by_torch_export() -> None:
    model = nn.Sequential(Checked(), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    fill(model, 5)
    lowered = read_module(model, torch.zeros(2, 3, 16, 16), "n", "test")
    operators = [node.operator for node in lowered.graph.nodes]
    assert operators == ["input", "conv", "relu", "bn", "avgpool", "flatten", "linear"]
    assert list(differences(model, lowered, (3, 16, 16))) == []


class Noisy(nn.Module):
    """A block that computes something else in training."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sigmoid() if self.training else x.relu()


def test_another_computation_in_training_is_a_note_with_its_line() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), Noisy())
    lowered = read_module(model.eval(), (3, 8, 8), "n", "test")
    line = Noisy.forward.__code__.co_firstlineno + 1
    assert lowered.notes == (
        f"The model computes other values in training ({__file__}:{line}); the import has the operators of eval mode.",
    )


def test_dropped_paths_are_operators_and_idle_ones_are_not() -> None:
    model = drawn("test_convnext", drop_path_rate=0.2, drop_rate=0.1)
    graph = read_module(model, (3, 64, 64), "n", "test").graph
    probabilities = [dict(node.attributes)["p"] for node in graph.nodes if node.operator in ("drop_path", "dropout")]
    assert probabilities[-1] == 0.1
    assert probabilities[:-1] == sorted(probabilities[:-1])
    assert len(probabilities) > 2
    plain = read_module(drawn("test_convnext"), (3, 64, 64), "n", "test").graph
    assert not {"drop_path", "dropout", "identity"} & {node.operator for node in plain.nodes}


def test_a_module_that_is_called_twice_is_one_module() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.conv(self.act(self.conv(x))))

    model = Twice()
    lowered = read_module(model, (3, 8, 8), "n", "test")
    names = [(node.name, node.module_name) for node in lowered.graph.nodes[1:]]
    assert names == [("conv", "conv"), ("act", "act"), ("conv_1", "conv"), ("act_1", "act_1")]
    assert list(differences(model, lowered, (3, 8, 8))) == []


def test_the_import_of_an_import_has_the_same_fingerprint() -> None:
    model = drawn("test_byobnet")
    lowered = read_module(model, (3, 64, 64), "n", "test")
    again = read_module(compiled(lowered), (3, 64, 64), "n", "test")
    assert fingerprint(again.graph) == fingerprint(lowered.graph)


@pytest.mark.parametrize("name", ["resnet50", "shufflenet_v2_x1_0", "mobilenetv3_large_100", "unet"])
def test_a_compiled_spec_imports_to_its_fingerprint(name: str) -> None:
    network = rx.load(name)
    shape = network.ir.nodes[0].shape
    model = network.compile(form="written", device="meta")
    assert fingerprint(read_module(model, shape, "n", "test").graph) == fingerprint(usual(network.ir))


class Resizing(nn.Module):
    """Two maps of different sizes, of which one is resized to the size of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 4, 3, padding=1)
        self.coarse = nn.Conv2d(4, 4, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(x)
        coarse = self.coarse(fine)
        return fine + nn.functional.interpolate(coarse, size=fine.shape[-2:], mode="bilinear")


def test_a_value_that_is_resized_to_another_one_keeps_the_reference() -> None:
    model = Resizing()
    lowered = read_module(model, (3, 9, 9), "n", "test")
    (resize,) = [node for node in lowered.graph.nodes if node.operator == "resize"]
    assert dict(resize.attributes) == {"size": None, "mode": "bilinear", "align_corners": False}
    assert [lowered.graph.nodes[source].name for source in resize.inputs] == ["coarse", "fine"]
    assert list(differences(model, lowered, (3, 9, 9))) == []


class Sized(nn.Module):
    """A block whose operators depend on the size of its value."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] > 4:
            x = nn.functional.max_pool2d(x, 2)
        return x


def test_a_condition_on_a_size_is_a_note_with_its_line() -> None:
    lowered = read_module(nn.Sequential(nn.Conv2d(3, 4, 1), Sized()), (3, 8, 8), "n", "test")
    line = Sized.forward.__code__.co_firstlineno + 1
    assert lowered.notes == (
        f"The code of the model compares a size ({__file__}:{line}); the import has the operators for 3x8x8.",
    )
    assert [node.operator for node in lowered.graph.nodes] == ["input", "conv", "maxpool"]


def test_a_network_with_outputs_in_training_is_equal_in_both_modes() -> None:
    # with dropout, the order of random numbers in the auxiliary classifiers would matter
    model = torchvision.models.googlenet(
        weights=None, init_weights=False, transform_input=False, dropout=0.0, dropout_aux=0.0
    )
    fill(model, 6)
    shape = (3, 64, 64)
    aux = [p.numel() for name, p in model.named_parameters() if name.startswith("aux")]
    lowered = read_module(model, shape, "googlenet", "torchvision:googlenet")
    assert sum(aux) > 0
    assert list(differences(model, lowered, shape)) == []
