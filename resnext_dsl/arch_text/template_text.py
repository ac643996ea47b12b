"""The text of templates and of their calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnext_dsl.arch_text.argument_solver import parameter_words
from resnext_dsl.arch_text.argument_text import Defaults, value_words
from resnext_dsl.arch_text.block_templates import BlockTemplate, TemplateMaker
from resnext_dsl.arch_text.library_calls import LIBRARY
from resnext_dsl.arch_text.statement_text import Phrases
from resnext_dsl.arch_text.step_tree import ENTRY, Body, CallStep, DeclaredStep, all_steps
from resnext_dsl.arch_text.word_choice import NameTable, snake_case
from resnext_dsl.formatter.page import STEP, WIDTH


class TemplateText:
    """Writes templates, and calls of templates and of the library.

    Attributes:
        libraries: The templates of the library in use, by file.
    """

    def __init__(self, maker: TemplateMaker, defaults: Defaults, names: NameTable) -> None:
        self._maker = maker
        self._defaults = defaults
        self._file_names = names
        self._names: dict[int, str] = {}
        self.libraries: dict[str, set[str]] = {}

    def used(self, bodies: Sequence[Body]) -> list[BlockTemplate]:
        """The templates that some bodies call, and those that these call, inner ones first; each gets its name."""
        templates: list[BlockTemplate] = []
        seen: set[int] = set()

        def visit(body: Body) -> None:
            for step in all_steps(body):
                call = step.call if isinstance(step, DeclaredStep) else step
                if isinstance(call, CallStep) and isinstance(call.template, int) and call.template not in seen:
                    seen.add(call.template)
                    template = self._maker.templates[call.template]
                    visit(template.body)
                    templates.append(template)

        for body in bodies:
            visit(body)
        for template in templates:
            self._names[template.number] = self._file_names.give(snake_case(template.label))
        return templates

    def imports(self) -> list[str]:
        """The lines that import templates of the library."""
        return [f"from {file} import {', '.join(sorted(used))}" for file, used in sorted(self.libraries.items())]

    def call(self, step: CallStep, others: list[str]) -> str:
        """The text of a call; `others` are the values that it takes."""
        known: list[tuple[str, str, Any]]
        if isinstance(step.template, str):
            entry = LIBRARY[step.template]
            self.libraries.setdefault(entry.file, set()).add(step.template)
            name = step.template
            known = [(one, one, entry.defaults.get(one)) for one in entry.parameters]
        else:
            name = self._names[step.template]
            known = [(one.name, one.kind, one.default) for one in self._maker.templates[step.template].parameters]
        required: list[str] = []
        optional: list[str] = []
        for (parameter, kind, default), value in zip(known, step.arguments, strict=True):
            text = value_words(kind, value)
            if default is None:
                required.append(text)
            elif text != value_words(kind, default):
                optional.append(f"{parameter}={text}")
        parts = [*required, *others, *optional]
        return f"{name}({', '.join(parts)})" if parts else name

    def lines(self, template: BlockTemplate) -> list[str]:
        """The declaration of a template."""
        names = template.names
        taken = [names.give("other", numbered=template.values > 1) for _ in range(template.values)]
        values = {ENTRY: "value_in"} | {ENTRY - 1 - place: name for place, name in enumerate(taken)}
        instances: dict[int | str, str] = {}

        def value(number: int) -> str:
            if number not in values:
                values[number] = names.give("y", numbered=True)
            return values[number]

        def instance(number: int | str) -> str:
            if number not in instances:
                instances[number] = names.give("cell", numbered=True)
            return instances[number]

        required = [parameter_words(one) for one in template.parameters if one.default is None]
        optional = [parameter_words(one) for one in template.parameters if one.default is not None]
        declared = ", ".join([*required, *taken, *optional])
        head = f"template {self._names[template.number]}{f'({declared})' if declared else ''}"
        phrases = Phrases(self._defaults, value, self.call, instance)
        return phrases.braced(head, template.body, room=WIDTH - STEP)
