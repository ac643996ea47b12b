"""A verified network: its graph, its cost, its budgets, its source, its module."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING

from resnext_dsl.budgets.limits import Limit, bind_limits, misplaced, picked
from resnext_dsl.budgets.usage import Usage, usage, violations
from resnext_dsl.costs.closed_form import NetworkCost, cost_of
from resnext_dsl.expansion.expand import errors_of, graph_of, report_of
from resnext_dsl.foundation.diagnostics import Diagnostic
from resnext_dsl.foundation.options import Options
from resnext_dsl.foundation.source import Source
from resnext_dsl.graph import ir as graphs
from resnext_dsl.graph.invariants import check_invariants
from resnext_dsl.operators.base import Shape
from resnext_dsl.semantics.bound_network import BoundNetwork, Parameter
from resnext_dsl.semantics.evaluate import Interpreter
from resnext_dsl.semantics.init_targets import InitRule, settle
from resnext_dsl.syntax import nodes as s

if TYPE_CHECKING:
    import networkx
    import torch

    from resnext_dsl.costs.memory_use import MemoryUse
    from resnext_dsl.export.write import Written
    from resnext_dsl.rewrite import Rewritten
    from resnext_dsl.weights.checkpoint import Weights


class Network:
    """A network of a valid spec: every parameter has a value, every feature map has a shape.

    Attributes:
        name: The name in the spec file.
        doc: The documentation comment in the spec file.
        source: The text of the spec file.
        parameters: The parameters with their values, by name.
        ir: The graph that the compiler reads.
        init: The rules for initial weights.
        limits: The limits of all budgets, in the order of the spec file.
        warnings: Warnings about the spec.
    """

    def __init__(
        self,
        source: Source,
        bound: BoundNetwork,
        ir: graphs.Graph,
        init: tuple[InitRule, ...],
        limits: tuple[Limit, ...],
        options: Options,
        warnings: tuple[Diagnostic, ...],
        advise: Callable[[Usage, Sequence[Usage]], str] | None = None,
    ) -> None:
        self.name = bound.name
        self.doc = bound.doc
        self.source = source
        self.parameters: dict[str, Parameter] = bound.parameters
        self.ir = ir
        self.warnings = warnings
        self.init = init
        self.limits = limits
        self._bound = bound
        self._options = options
        self._advise = advise

    def __repr__(self) -> str:
        return f"<Network {self.name}: {len(self.ir.nodes)} nodes, {self.cost().params:,} parameters>"

    @cached_property
    def graph(self) -> networkx.MultiDiGraph:
        """The graph as a networkx MultiDiGraph; `resnext_dsl.graph.ir.to_networkx` lists its attributes."""
        return graphs.to_networkx(self.ir)

    @cached_property
    def _cost(self) -> NetworkCost:
        return cost_of(self.ir)

    def cost(self, training: bool = False) -> NetworkCost:
        """The parameters, FLOPs, multiply-adds and activations of one forward pass at batch 1.

        The figures are exact and follow fvcore's convention.

        Args:
            training: Whether the outputs that exist in training only count too. Their parameters always count.
        """
        return cost_of(self.ir, training=True) if training else self._cost

    def memory(self, dtype: str = "float32", batch: int = 1) -> MemoryUse:
        """The bytes of weights and buffers, of live values in inference, and of values kept for a training step.

        The figures are exact for torch on the CPU in eager mode.

        Args:
            dtype: The type of weights and values: "float64", "float32", "bfloat16" or "float16".
            batch: The number of samples in a batch.

        Raises:
            ValueError: If the type is another one, or the batch is less than 1.
        """
        from resnext_dsl.costs.memory_use import memory_of

        return memory_of(self.ir, self.emit(form="written"), dtype, batch)

    def at(self, shape: Shape) -> Network:
        """The same network on an input of another shape.

        Args:
            shape: The shape without batch: `(channels, height, width)` of an image, or `(features,)`.

        Raises:
            ArchError: If an operator of the network cannot take its new input shape.
        """
        if shape == self.ir.nodes[0].shape:
            return self
        bound = self._bound.with_input(shape)
        ir, diagnostics = graph_of(bound, Interpreter(self._options))
        if errors_of(diagnostics):
            raise report_of(diagnostics, self._options)
        init, _ = settle(bound.init, check_invariants(ir))
        return Network(self.source, bound, ir, init, self.limits, self._options, tuple(diagnostics))

    def usage(self, *budgets: str, measure: bool = False) -> tuple[Usage, ...]:
        """The use of each limit of the budgets, met or exceeded, with a suggestion for each exceeded limit.

        Args:
            *budgets: Names of budgets; all budgets if none is named.
            measure: Whether to measure latencies on this machine. If False, limits on latency have no verdict.

        Raises:
            ArchError: E101 for an unknown budget. Other codes if the network cannot take the input shape of a budget,
                or if this machine lacks the device of a latency.
        """
        lines = usage(self.limits_of(budgets), self, measure)
        return tuple(line if line.met else self._advised(line, lines) for line in lines)

    def limits_of(self, budgets: Sequence[str]) -> tuple[Limit, ...]:
        """The limits of the named budgets; of all budgets if none is named.

        Args:
            budgets: Names of budgets.

        Raises:
            ArchError: E101 for an unknown budget.
        """
        declared = [budget.name.text for budget in self._bound.budgets if budget.name is not None]
        return picked(self.limits, declared, budgets, self.source.name)

    def with_budgets(self, path: str | os.PathLike[str]) -> Network:
        """The same network with the budgets of a file in place of its own.

        The file has `budget` blocks only. Their bounds may use the parameters of the network.

        Args:
            path: The file.

        Raises:
            ArchError: If the file cannot be read or has errors, or if it has anything other than budgets.
        """
        from resnext_dsl.networks.budget_file import budgets_of

        bound = copy(self._bound)
        bound.budgets = budgets_of(path, self._options)
        limits, diagnostics = bind_limits(bound, Interpreter(self._options))
        diagnostics += misplaced(limits, self.ir)
        if diagnostics:
            raise report_of(diagnostics, self._options)
        return Network(self.source, bound, self.ir, self.init, limits, self._options, self.warnings, self._advise)

    @property
    def declared(self) -> tuple[s.Entry, ...]:
        """The declarations of the network and of the networks that it is derived from."""
        return self._bound.declared

    def _advised(self, line: Usage, report: Sequence[Usage]) -> Usage:
        """An exceeded limit with the change of a parameter that meets it, and if possible all limits of the report."""
        return line if self._advise is None else line._replace(suggestion=self._advise(line, report))

    def check(self, *budgets: str, measure: bool = False) -> tuple[Usage, ...]:
        """The use of each limit of the budgets, if all are met.

        Args:
            *budgets: Names of budgets; all budgets if none is named.
            measure: Whether to measure latencies on this machine. If False, limits on latency have no verdict.

        Raises:
            BudgetError: If a limit is exceeded; the exception lists every exceeded limit.
            ArchError: For the same reasons as `usage`.
        """
        report = self.usage(*budgets, measure=measure)
        problem = violations(report)
        if problem is not None:
            raise problem
        return report

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the architecture; names, comments, order of definitions and the form of splits do not change it."""
        from resnext_dsl.rewrite import canonical

        return graphs.fingerprint(canonical(self.ir))

    def to_arch(self, name: str | None = None) -> str:
        """The network as a text of the language that names no other file than the library: blocks become templates.

        The text gives the same graph, so the same fingerprint. It has no domains, requirements, budgets or `init`.

        Args:
            name: The name of the network in the text; its own name if None.
        """
        from resnext_dsl.arch_text import arch_text

        return arch_text(self.ir, name).text

    def rewrite(self, form: str = "fastest", mode: str = "train") -> Rewritten:
        """Rewrites the splits of the network in another form, with the map of the weights.

        Args:
            form: "written", "a", "b", "c" (Xie et al., CVPR 2017, Figure 3) or "fastest".
            mode: "train" only rearranges parameters; "inference" also folds norms into convolutions.

        Returns:
            The new `.graph`, the map `.weights` from old to new parameters, and a `.report` of the rewrites.

        Raises:
            ArchError: E608 if no part of the network has form (a) or (b).
            ValueError: If the form or mode is unknown.
        """
        from resnext_dsl.rewrite import rewrite

        return rewrite(self.ir, form, mode, self._options.max_nodes)

    def emit(self, form: str = "fastest", mode: str = "train") -> str:
        """Writes standalone PyTorch source of the network; the source imports only torch.

        Args:
            form: The form of the splits, as for `compile`. The module of `compile` has the same state_dict.
            mode: "train", or "inference" for the source of a model with folded norms.

        Raises:
            ArchError: E608 if no part of the network has form (a) or (b).
            ValueError: If the form or mode is unknown.
        """
        from resnext_dsl.emit import emit
        from resnext_dsl.rewrite.initial import moved

        rewritten = self.rewrite(form, mode)
        return emit(rewritten.graph, moved(self.ir, rewritten, self.init))

    def compile(
        self,
        form: str = "fastest",
        mode: str = "train",
        weights: Weights | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        seed: int | None = None,
        layout: str = "auto",
        kernels: str = "torch",
    ) -> torch.nn.Module:
        """Compiles the network to a plain, hierarchical `torch.nn.Module`.

        Args:
            form: The form of the splits: "written", "a", "b", "c" or "fastest", which trains like
                "written".
            mode: "train" or "inference". In inference mode, norms are folded into convolutions, outputs that exist in
                training only are left out, parameters are frozen, and the module is in eval mode.
            weights: A checkpoint to load, as a path or a state_dict. It may come from this package in any form, or
                from torchvision or timm for the same network. `rx.Checkpoint` adds choices.
            device: The device of the parameters; "meta" allocates no memory.
            dtype: The type of the parameters; torch's default dtype if None.
            seed: The seed of the initial weights. It leaves torch's global generator alone, and one seed gives the
                same function in every form and the same weights on every device. If None, weights come from torch's
                global generator.
            layout: The memory format of the weights: "contiguous", "channels_last" or "auto". "auto" chooses by mode,
                device, type and channels a group (`memory_format.TABLE`). In train mode on a CPU it keeps torch's
                own format.
            kernels: "torch", or "auto" for the faster of torch's kernels and ours on a GPU. The first call with a new
                size of input measures each grouped 3x3 convolution, and a file keeps the result. If `layout` is
                "auto" too, a network with such convolutions takes channels_last memory.

        Raises:
            ArchError: E608 if no part of the network has form (a) or (b).
            WeightsError: If the checkpoint does not fit; no weight is loaded then.
            ValueError: If the form, mode, layout or kernels are unknown.
        """
        from resnext_dsl.compiler.torch_module import build

        return build(
            self.ir,
            self.init,
            form=form,
            mode=mode,
            weights=weights,
            device=device,
            dtype=dtype,
            seed=seed,
            max_nodes=self._options.max_nodes,
            layout=layout,
            kernels=kernels,
        )

    def export(
        self,
        target: str,
        path: str | os.PathLike[str],
        *,
        form: str = "fastest",
        weights: Weights | None = None,
        seed: int | None = None,
        batch: int | str = "dynamic",
        dtype: str | None = None,
        device: str = "cpu",
    ) -> Written:
        """Writes the network to a file that other programs run, reads the file back, and compares the outputs.

        Args:
            target: "py" (standalone PyTorch source), "pt2" (torch.export archive), "aoti" (AOTInductor package), "onnx"
                or "openvino".
            path: The file; its name ends in the suffix of the format. OpenVINO puts a `.bin` beside its `.xml`.
            form: As for `compile`. "py" writes the source of `emit` in train mode; other formats hold the network in
                inference mode.
            weights: As for `compile`. "py" stores no weights.
            seed: The seed of the initial weights if `weights` is None; 0 if None.
            batch: "dynamic", or the only batch size that the file takes.
            dtype: The type of the weights: "float32", or another type of the format.
            device: "cpu"; or "cuda" or "cuda:1" for an AOTInductor package, which is compiled for that device.

        Returns:
            The files, and the difference between their outputs and the module's outputs.

        Raises:
            ArchError: If the export fails; nothing is written then, and an existing file stays as it was.
                E603: this machine does not have the device.
                E605: a backend is not installed.
                E608: the network has no such form.
                E704: the file cannot be written.
                E705: the format cannot hold the network with these options.
                E802: the outputs of the file differ from those of the module.
            WeightsError: If the checkpoint does not fit.
            ValueError: If the form is unknown.
        """
        from resnext_dsl.export.write import export

        options = {"form": form, "weights": weights, "seed": seed, "batch": batch, "dtype": dtype, "device": device}
        return export(self, target, path, **options)  # type: ignore[arg-type]
