"""Prints any graph as a readable text of the language: stages, templates with parameters, repeats, splits, residuals."""

from resnext_dsl.arch_text.write import ArchText, arch_text

__all__ = ["ArchText", "arch_text"]
