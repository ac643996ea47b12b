"""Prints any graph as a readable text of the language: stages, templates, repeats, splits and residuals."""

from resnext_dsl.arch_text.graph_to_text import ArchText, arch_text

__all__ = ["ArchText", "arch_text"]
