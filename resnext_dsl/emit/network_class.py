"""The class of the network: its parts, its forward in features and head, and what users of a backbone expect of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from resnext_dsl.emit.blocks import ForwardStep, Ref
from resnext_dsl.emit.call_layout import Bracketed, broken, call, flat, indented, lines, prefixed
from resnext_dsl.emit.classes import ClassText
from resnext_dsl.emit.collect import Collector
from resnext_dsl.emit.flow import INPUT, Flow
from resnext_dsl.emit.forward import Writer, tensors
from resnext_dsl.emit.initialize import init_weights
from resnext_dsl.emit.names import RESERVED, camel_case, identifier, literal, unused
from resnext_dsl.emit.parameters import ConstructorParameter
from resnext_dsl.emit.patterns import StepPattern
from resnext_dsl.emit.wiring import unify_blocks
from resnext_dsl.graph.ir import Graph, Node, Output
from resnext_dsl.operators import OPERATORS, ModuleCall
from resnext_dsl.semantics.init_schemes import SchemeRule

_LOOP = 3
"""Stages in a row from which on they are a loop."""


class NetworkText:
    """Writes the class of the network, and that of its results where there are several."""

    def __init__(
        self,
        collector: Collector,
        classes: Mapping[str, list[ConstructorParameter]],
        init: Sequence[SchemeRule],
        taken: set[str],
    ) -> None:
        self.graph: Graph = collector.graph
        self._name = unused(camel_case(self.graph.name), taken)
        self._result = unused(f"{self._name}Output", {*taken, self._name})
        block = replace(collector.block(""), inputs=1, outputs=())
        self._class = ClassText(unify_blocks([block], [1]), classes)
        self._steps = list(self._class.pattern.steps)
        self._init = init_weights(collector.levels, init)
        self._stages = {part.name for part in self.graph.parts if part.kind == "stage"} & {
            step.step.name for step in self._steps
        }
        children = {name for name, _ in self._class.pattern.children}
        self._run, self._collect = unused("_stage", children), unused("_features", children)
        self._flag = unused("grad_checkpointing", children)
        self._speech = replace(self._class.speech(), call=self._call, stage=self._run)
        values = collector.values("")
        self._refs = {node: ref for ref, node in values.items()}
        self._flow = Flow(self.graph, self._steps, values)

    def text(self) -> list[str]:
        """The classes as lines."""
        methods = [self._forward_features(), self._forward_head(), self._forward(), self._forward_stages()]
        methods += [self._stage_method(), self._checkpointing(), self._init, self._reset_classifier()]
        made = [*self._results(), f"class {self._name}(nn.Module):", *indented(self._constructor())]
        for method in methods:
            made += ["", *indented(method)] if method else []
        return made

    def _ref(self, node: int) -> Ref:
        return self._refs[node]

    def _call(self, step: ForwardStep, arguments: list[str]) -> str:
        child = self._class.access(step.child)
        if step.name in self._stages:
            return f"self.{self._run}({', '.join([child, *arguments])})"
        return f"{child}({', '.join(arguments)})"

    # --- the constructor ---

    def _constructor(self) -> list[str]:
        children = self._class.children()
        body = ["super().__init__()", f"self.num_features = {self._num_features()}", *self._feature_info()]
        body += [f"self.{self._flag} = False"] if self._stages else []
        body += [*self._class.settings, *children]
        body += ["self.init_weights()"] if self._init else []
        return ["def __init__(self) -> None:", *indented(body)]

    def _num_features(self) -> int:
        last = self._classifiers()[:1]
        if last and self._is_in_head(last[0]):
            return self.graph.nodes[last[0].inputs[0]].shape[0]
        return self.graph.nodes[self._flow.features_node].shape[0]

    def _feature_info(self) -> list[str]:
        size = self.graph.nodes[0].shape
        rows = []
        for part in self.graph.parts:
            if part.kind in ("stem", "stage"):
                shape = self.graph.nodes[part.node].shape
                row = {"module": part.name, "channels": shape[0], "reduction": _reduction(size, shape)}
                rows.append("{" + ", ".join(f'"{key}": {literal(value)}' for key, value in row.items()) + "}")
        return lines(Bracketed("self.feature_info = [", tuple(rows), "]"))

    # --- forward ---

    def _write(
        self, steps: Sequence[StepPattern], names: dict[Ref, str], wanted: Sequence[Ref]
    ) -> tuple[list[str], list[str]]:
        writer = Writer(self._speech, steps, names, wanted)
        values = writer.write()
        return [line for text in writer.lines for line in broken(text)], values

    def _forward_features(self) -> list[str]:
        flow = self._flow
        steps = self._in_loops(flow.features, [*flow.to_head, *flow.to_outputs])
        body, values = self._write(steps, {INPUT: "x"}, [*flow.to_head, *flow.to_outputs])
        returned = ", ".join(values)
        head = values[: len(flow.to_head)]
        kind = tensors(len(head))
        title = '"""The value that enters the head, from a batch of inputs."""'
        signature = f"def forward_features(self, x: Tensor) -> {kind}:"
        if not flow.to_outputs:
            return [signature, *indented([title, *body, *broken(f"return {returned}")])]
        inner = [
            f"def {self._collect}(self, x: Tensor) -> {tensors(len(values))}:",
            *indented([*body, *broken(f"return {returned}")]),
        ]
        taken = f"self.{self._collect}(x)" + (f"[: {len(head)}]" if len(head) > 1 else "[0]")
        return [signature, *indented([title, f"return {taken}"]), "", *inner]

    def _forward_head(self) -> list[str]:
        flow = self._flow
        names = {ref: "x" if place == 0 else f"x{place + 1}" for place, ref in enumerate(flow.to_head)}
        body, values = self._write(flow.head, names, [flow.main])
        if len(names) > 1:
            body = [*broken(f"{', '.join(names.values())} = x"), *body]
        title = '"""The result, from the value that enters the head."""'
        signature = f"def forward_head(self, x: {tensors(len(names))}) -> Tensor:"
        return [signature, *indented([title, *body, *broken(f"return {values[0]}")])]

    def _forward(self) -> list[str]:
        flow = self._flow
        if len(self.graph.outputs) == 1:
            return ["def forward(self, x: Tensor) -> Tensor:", "    return self.forward_head(self.forward_features(x))"]
        single = all(output.training_only for output in self.graph.outputs[1:])
        result = f"Tensor | {self._result}" if single else self._result
        return [f"def forward(self, x: Tensor) -> {result}:", *indented(self._results_of(flow, single))]

    def _results_of(self, flow: Flow, single: bool) -> list[str]:
        """Statements of a forward with several results."""
        names: dict[Ref, str] = {INPUT: "x"}
        if flow.whole:
            body, values = self._write(self._steps, names, [self._ref(output.node) for output in self.graph.outputs])
            return [*body, *lines(prefixed("return ", call(self._result, values)))]
        taken = {*names.values()}
        for ref in flow.to_outputs:
            names[ref] = unused(ref[0].replace(".", "_"), {*taken, "main"})
            taken.add(names[ref])
        head = ", ".join(
            ["features"] if len(flow.to_head) == 1 else [f"features{k + 1}" for k in range(len(flow.to_head))]
        )
        if flow.to_outputs:
            body = broken(f"{', '.join([head, *(names[ref] for ref in flow.to_outputs)])} = self.{self._collect}(x)")
        else:
            body = broken(f"{head} = self.forward_features(x)")
        for ref, text in zip(flow.to_head, head.split(", "), strict=True):
            names.setdefault(ref, text)
        body += broken(f"main = self.forward_head({head if len(flow.to_head) == 1 else f'({head})'})")
        names[flow.main] = "main"
        return [*body, *self._others(flow, names, single)]

    def _others(self, flow: Flow, names: dict[Ref, str], single: bool) -> list[str]:
        always = [output for output in self.graph.outputs[1:] if not output.training_only]
        training = [output for output in self.graph.outputs[1:] if output.training_only]
        body: list[str] = []
        if single:
            body += ["if not self.training:", "    return main"]
            ordered = training
        else:
            ordered = always + training
        needed = flow.of([self._ref(output.node) for output in always])
        first = [step for step in flow.others if step.step.name in needed]
        if training and always:
            return [*body, *self._in_training(flow, names, first, always, training)]
        wanted = [self._ref(output.node) for output in ordered]
        texts, values = self._write(flow.others, dict(names), wanted)
        return [*body, *texts, *lines(prefixed("return ", call(self._result, ["main", *values])))]

    def _in_training(
        self, flow: Flow, names: dict[Ref, str], first: list[StepPattern], always: list[Output], training: list[Output]
    ) -> list[str]:
        """Results that are always there, and those that are None in eval mode."""
        wanted = [self._ref(output.node) for output in always]
        rest = [step for step in flow.others if step not in first]
        read = [
            ref
            for step in rest
            for ref in step.step.inputs
            if ref not in names and ref[0] in {s.step.name for s in first}
        ]
        texts, values = self._write(first, names, [*wanted, *read])
        kept = dict(zip([*wanted, *read], values, strict=True))
        inner, more = self._write(rest, {**names, **kept}, [self._ref(output.node) for output in training])
        results = ["main", *values[: len(wanted)]]
        return [
            *texts,
            "if not self.training:",
            *indented(lines(prefixed("return ", call(self._result, results)))),
            *inner,
            *lines(prefixed("return ", call(self._result, [*results, *more]))),
        ]

    def _results(self) -> list[str]:
        """The class of several results."""
        outputs = self.graph.outputs
        if len(outputs) == 1:
            return []
        always = [output for output in outputs if not output.training_only]
        optional = len(always) > 1
        rows = []
        for output in [*always, *(output for output in outputs if output.training_only)]:
            name = _field(output.name)
            rows.append(f"{name}: Tensor | None = None" if output.training_only and optional else f"{name}: Tensor")
        when = (
            "in training"
            if len(always) == 1
            else "; what is None exists in training only"
            if len(rows) > len(always)
            else ""
        )
        title = f'"""What the network gives{" " + when if when.startswith("in") else when}."""'
        return [f"class {self._result}(NamedTuple):", *indented([title, "", *rows]), "", ""]

    # --- stages ---

    def _in_loops(self, steps: Sequence[StepPattern], wanted: Sequence[Ref]) -> list[StepPattern]:
        """The steps with every three or more stages in a row as one loop."""
        made: list[StepPattern] = []
        run: list[StepPattern] = []
        reads = _reads(steps, wanted)

        def close() -> None:
            made.extend([_loop(run)] if len(run) >= _LOOP else run)
            run.clear()

        for step in steps:
            if run and not (self._is_link(step) and step.step.inputs == ((run[-1].step.name, 0),)):
                close()
            named = reads.get((step.step.name, 0), 0) > 1
            if self._is_link(step) and not named:
                run.append(step)
            else:
                close()
                made.append(step)
        close()
        return made

    def _is_link(self, step: StepPattern) -> bool:
        return step.step.name in self._stages and len(step.step.inputs) == 1 and step.step.outputs == 1

    def _forward_stages(self) -> list[str]:
        parts = [part for part in self.graph.parts if part.kind in ("stem", "stage")]
        if not parts:
            return []
        wanted = [self._ref(part.node) for part in parts]
        needed = self._flow.of(wanted)
        steps = [step for step in self._steps if step.step.name in needed]
        body = self._stage_loop(steps, wanted)
        if not body:
            texts, values = self._write(steps, {INPUT: "x"}, wanted)
            body = [*texts, *lines(Bracketed("return [", tuple(values), "]"))]
        title = '"""The values after the stem and after each stage, as `feature_info` lists them."""'
        return ["def forward_stages(self, x: Tensor) -> list[Tensor]:", *indented([title, *body])]

    def _stage_loop(self, steps: list[StepPattern], wanted: list[Ref]) -> list[str]:
        """A loop that collects the value of every step, where the steps are the stages in a row."""
        chain = [INPUT, *((step.step.name, 0) for step in steps)]
        linked = all(self._is_link(step) for step in steps[1:]) and steps and steps[0].step.kind == "call"
        if not linked or len(steps) <= _LOOP or wanted != chain[1:]:
            return []
        if any(step.step.inputs != (before,) for step, before in zip(steps, chain, strict=False)):
            return []
        first = self._call(steps[0].step, ["x"])
        over = Bracketed("for stage in (", tuple(self._class.access(step.step.child) for step in steps[1:]), "):")
        return [
            f"stages = [{first}]",
            *lines(over),
            f"    stages.append(self.{self._run}(stage, stages[-1]))",
            "return stages",
        ]

    def _stage_method(self) -> list[str]:
        if not self._stages:
            return []
        links = [step for step in self._steps if step.step.name in self._stages]
        single = all(self._is_link(step) for step in links)
        result = "Tensor" if single else "Tensor | tuple[Tensor, ...]"
        return [
            f"def {self._run}(self, stage: nn.Module, *values: Tensor) -> {result}:",
            f"    if self.{self._flag} and self.training:",
            "        return checkpoint(stage, *values, use_reentrant=False)",
            "    return stage(*values)",
        ]

    def _checkpointing(self) -> list[str]:
        if not self._stages:
            return []
        return [
            "def set_grad_checkpointing(self, enable: bool = True) -> None:",
            '    """Whether training keeps only the inputs of stages, and computes the rest again for gradients."""',
            f"    self.{self._flag} = enable",
        ]

    # --- the classifier ---

    def _is_in_head(self, node: Node) -> bool:
        return any(part.kind == "head" and node.name.startswith(f"{part.name}.") for part in self.graph.parts)

    def _classifiers(self) -> list[Node]:
        """The last layer with weights of the head, and of each output in training."""
        found = []
        training = {output.name for output in self.graph.outputs if output.training_only}
        parts = sorted(self.graph.parts, key=lambda part: part.kind != "head")
        for part in parts:
            if part.kind == "head" or part.name in training:
                own = [n for n in self.graph.nodes if n.name.startswith(f"{part.name}.") and _has_weights(n)]
                found += own[-1:]
        return found

    def _reset_classifier(self) -> list[str]:
        layers = self._classifiers()
        if not layers or not self._is_in_head(layers[0]):
            return []
        body = [
            '"""Give the network `num_classes` classes; 0 leaves the last layer out."""',
            "like = next(self.parameters(), torch.empty(0))",
            'made = {"device": like.device, "dtype": like.dtype}',
        ]
        for node in layers:
            outer, _, own = node.name.rpartition(".")
            place = (
                f"self.{outer}.{own}"
                if not any(map(str.isdigit, outer.split(".")))
                else f'self.get_submodule("{outer}").{own}'
            )
            body += lines(prefixed(f"{place} = ", self._layer(node)))
            body += [f"self.init_weights({place})"] if self._init else []
        return ["def reset_classifier(self, num_classes: int) -> None:", *indented(body)]

    def _layer(self, node: Node) -> Bracketed:
        source = OPERATORS[node.operator].source(node.attributes, tuple(self.graph.nodes[i].shape for i in node.inputs))
        assert isinstance(source, ModuleCall)
        first, _, *rest = map(literal, source.positional)
        keywords = [f"{name}={literal(value)}" for name, value in source.keywords]
        made = flat(call(source.target, [first, "num_classes", *rest, *keywords, "**made"]))
        return Bracketed("(", (made, "if num_classes", "else nn.Identity()"), ")", comma=False, soft=True)


def _loop(run: list[StepPattern]) -> StepPattern:
    children = " ".join(step.step.child for step in run)
    step = ForwardStep(run[-1].step.name, "stages", children, "", (), run[0].step.inputs)
    return StepPattern(step, (), None)


def _reads(steps: Sequence[StepPattern], wanted: Sequence[Ref]) -> dict[Ref, int]:
    reads: dict[Ref, int] = {}
    for ref in [*(ref for step in steps for ref in step.step.inputs), *wanted]:
        reads[ref] = reads.get(ref, 0) + 1
    return reads


def _has_weights(node: Node) -> bool:
    return node.operator != "input" and OPERATORS[node.operator].multiplies


def _field(name: str) -> str:
    name = identifier(name).lstrip("_") or "value"
    return f"{name}_" if name in RESERVED or name in ("count", "index") else name


def _reduction(image: tuple[int, ...], shape: tuple[int, ...]) -> int | None:
    """How many pixels of the input's height are one of a map's; None for what is no map.

    Where windows without padding left less than a whole fraction, the nearest power of two.
    """
    if len(shape) != 3 or len(image) != 3:
        return None
    if image[1] % shape[1] == 0:
        return image[1] // shape[1]
    return int(2 ** max(0, round(math.log2(image[1] / shape[1]))))
