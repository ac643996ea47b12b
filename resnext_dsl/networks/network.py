"""A checked network, and what may be asked of it: its cost, its limits, its source, its module."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from resnext_dsl.budgets.limits import Limit, picked
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


class Network:
    """A network whose spec is right: every parameter bound, every shape known.

    Attributes:
        name: The name that its file gives it.
        source: The text it was read from.
        parameters: Its parameters with their values here, by name.
        ir: The graph that the compiler reads.
        init: How its weights start.
        warnings: What is not wrong and worth a look.
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
        advise: Callable[[Usage], str] | None = None,
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
        """The graph as a networkx MultiDiGraph (`graph.to_networkx` says what it carries)."""
        return graphs.to_networkx(self.ir)

    @cached_property
    def _cost(self) -> NetworkCost:
        return cost_of(self.ir)

    def cost(self, training: bool = False) -> NetworkCost:
        """Parameters, FLOPs, multiply-adds and activations of one pass at batch 1, exact, in fvcore's convention.

        Args:
            training: Count the outputs that exist in training only too (their parameters always count).
        """
        return cost_of(self.ir, training=True) if training else self._cost

    def memory(self, dtype: str = "float32", batch: int = 1) -> MemoryUse:
        """Bytes of weights and buffers, of values alive together in inference and of those kept for a training step.

        Exact, as torch holds them on the CPU in eager mode.

        Args:
            dtype: Of weights and values: "float64", "float32", "bfloat16" or "float16".
            batch: Samples.

        Raises:
            ValueError: For another type, or a batch of none.
        """
        from resnext_dsl.costs.memory_use import memory_of

        return memory_of(self.ir, self.emit(form="written"), dtype, batch)

    def at(self, shape: Shape) -> Network:
        """The same network on an input of another shape: channels, height, width, or a number of features.

        Raises:
            ArchError: Where its operators cannot take that.
        """
        if shape == self.ir.nodes[0].shape:
            return self
        bound = self._bound.with_input(shape)
        ir, found = graph_of(bound, Interpreter(self._options))
        if errors_of(found):
            raise report_of(found, self._options)
        init, _ = settle(bound.init, check_invariants(ir))
        return Network(self.source, bound, ir, init, self.limits, self._options, tuple(found))

    def usage(self, *budgets: str, measure: bool = False) -> tuple[Usage, ...]:
        """What the network uses of each limit of its budgets, kept or not.

        Args:
            *budgets: The budgets to look at, by name; all of them where none is named.
            measure: Take the measures that need a machine, such as latency, on this one; else they stay open.

        Raises:
            ArchError: For an unknown budget, an input that the network cannot have, a device that is not there.
        """
        lines = usage(self.limits_of(budgets), self, measure)
        return tuple(line if line.met else self._advised(line) for line in lines)

    def limits_of(self, budgets: Sequence[str]) -> tuple[Limit, ...]:
        """The limits of the budgets of these names; of all budgets where none is named.

        Raises:
            ArchError: E101 for an unknown budget.
        """
        declared = [budget.name.text for budget in self._bound.budgets if budget.name is not None]
        return picked(self.limits, declared, budgets, self.source.name)

    @property
    def declared(self) -> tuple[s.Entry, ...]:
        """The declarations that it, or its base, is made of."""
        return self._bound.declared

    def _advised(self, line: Usage) -> Usage:
        """An exceeded limit with the change that would meet it."""
        return line if self._advise is None else line._replace(suggestion=self._advise(line))

    def check(self, *budgets: str, measure: bool = False) -> tuple[Usage, ...]:
        """What the network uses of each limit of its budgets; arguments as those of `usage`.

        Raises:
            BudgetError: Listing every limit that is exceeded.
        """
        report = self.usage(*budgets, measure=measure)
        problem = violations(report)
        if problem is not None:
            raise problem
        return report

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the architecture: equal under other names, comments, orders of definition, spellings of splits."""
        from resnext_dsl.rewrite import canonical

        return graphs.fingerprint(canonical(self.ir))

    def rewrite(self, form: str = "fastest", mode: str = "train") -> Rewritten:
        """The network in another spelling: its `.graph`, the `.weights` that lead there, and a `.report`.

        Args:
            form: "written", "a", "b", "c" (Xie et al., CVPR 2017, Figure 3) or "fastest".
            mode: "train" moves parameters only; "inference" also folds norms into convolutions.

        Raises:
            ArchError: E608 where no part of the network can be spelled in form (a) or (b).
            ValueError: For a form or mode that does not exist.
        """
        from resnext_dsl.rewrite import rewrite

        return rewrite(self.ir, form, mode, self._options.max_nodes)

    def emit(self, form: str = "fastest", mode: str = "train") -> str:
        """Standalone PyTorch source of the network; it imports only torch.

        Args:
            form: The spelling of its splits, as of `compile`, whose module has the same state_dict.
            mode: "train", or "inference" for the source that a model with folded norms has.

        Raises:
            ArchError: E608 where no part of the network can be spelled in form (a) or (b).
            ValueError: For a form or mode that does not exist.
        """
        from resnext_dsl.emit import emit
        from resnext_dsl.rewrite.initial import moved

        rewritten = self.rewrite(form, mode)
        return emit(rewritten.graph, moved(self.ir, rewritten, self.init))

    def compile(
        self,
        form: str = "fastest",
        mode: str = "train",
        weights: str | os.PathLike[str] | Mapping[str, torch.Tensor] | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        seed: int | None = None,
    ) -> torch.nn.Module:
        """The network as a plain, hierarchical `torch.nn.Module`.

        Args:
            form: "written", "a", "b", "c" or "fastest": the spelling of its splits. The fastest trains identically.
            mode: "train"; or "inference": norms folded into convolutions, outputs that exist in training only left
                out, parameters frozen, in eval mode.
            weights: A checkpoint to load: ours of any form, torchvision's or timm's of the same network, as a path or
                a state_dict.
            device: Where its parameters are made; "meta" makes none.
            dtype: Of its parameters; torch's default dtype where None.
            seed: Makes the initial weights reproducible, without touching torch's global generator; one seed is one
                function in any form.

        Raises:
            ArchError: E608 where no part of the network can be spelled in form (a) or (b).
            WeightsError: Where the checkpoint does not fit; nothing is loaded then.
            ValueError: For a form or mode that does not exist.
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
        )

    def export(
        self,
        target: str,
        path: str | os.PathLike[str],
        *,
        form: str = "fastest",
        weights: str | os.PathLike[str] | Mapping[str, torch.Tensor] | None = None,
        seed: int | None = None,
        batch: int | str = "dynamic",
        dtype: str | None = None,
    ) -> Written:
        """Writes the network to a file that other programs run, reads it back, and compares its outputs.

        Args:
            target: "py" (standalone PyTorch source), "pt2" (torch.export archive), "aoti" (AOTInductor package), "onnx"
                or "openvino".
            path: The file, whose name ends in the suffix of the format; OpenVINO puts a `.bin` beside its `.xml`.
            form: As for `compile`. Source is that of `emit`, to be trained; the others hold the network in inference.
            weights: As for `compile`. Source holds none.
            seed: Of the initial weights where no others are given; 0 where None.
            batch: "dynamic", or the one batch size that the file takes.
            dtype: Of the weights: "float32", or another that the format can hold.

        Returns:
            The files, and how far their outputs were from those of the module.

        Raises:
            ArchError: E605 where a backend is not installed, E608 where the network has no such form, E704 where the
                file cannot be written, E705 where the format cannot hold the network so, E802 where the file computes
                something else. Nothing is written then, and a file that was there is as it was.
            WeightsError: Where the checkpoint does not fit.
            ValueError: For a form that does not exist.
        """
        from resnext_dsl.export.write import export

        options = {"form": form, "weights": weights, "seed": seed, "batch": batch, "dtype": dtype}
        return export(self, target, path, **options)  # type: ignore[arg-type]
