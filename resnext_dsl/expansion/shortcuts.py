"""Shortcuts of residuals without a shortcut body: identity, projection (types B and C), zero padding (type A).

Source of the types: He et al., CVPR 2016, Section 4.1.
"""

from __future__ import annotations

from typing import Any

from resnext_dsl.expansion.graph_builder import GraphBuilder
from resnext_dsl.foundation.diagnostics import Span, error
from resnext_dsl.operators.ranks import FEATURES, IMAGE, is_map, rank_of
from resnext_dsl.semantics.values import GraphValue, show_shape
from resnext_dsl.syntax import nodes as s


def shortcut(
    draft: GraphBuilder, kind: str, statement: s.Residual, scope: str, x: GraphValue, body: GraphValue
) -> GraphValue:
    """The value of a shortcut without a body."""
    same = x.shape == body.shape
    if kind == "identity" or (same and kind != "projection"):
        return x
    stride = _stride(draft, statement, x, body)
    draft.put_scope(scope, "shortcut", "shortcut", statement.span)

    def put(operator: str, value: GraphValue, **arguments: Any) -> GraphValue:
        settled, spans = draft.defaults(operator)
        attributes = draft.validated(statement.span, operator, settled | arguments, spans, value)
        return draft.put_node(operator, attributes, [value], scope, operator, statement.span)

    if kind == "pad":
        x = put("subsample", x, stride=stride) if max(stride) > 1 else x
        if body.shape[0] < x.shape[0]:
            message = f"`pad` cannot reduce {x.shape[0]} channels to {body.shape[0]}"
            raise error("E304", message, statement.span, hint="use `shortcut=projection`")
        return put("pad_channels", x, channels=body.shape[0]) if body.shape[0] > x.shape[0] else x
    x = put("conv", x, channels=body.shape[0], kernel=1, stride=stride, padding=0, groups=1, dilation=1, bias=False)
    return put("bn", x)


def _stride(draft: GraphBuilder, statement: s.Residual, x: GraphValue, body: GraphValue) -> tuple[int, ...]:
    """The stride that reduces the sides of the input to those of the body."""
    span = Span(statement.span.source, statement.span.start, statement.span.start + len("residual"))
    notes = draft.origins([x, body])
    shapes = f"{show_shape(x.shape)} to {show_shape(body.shape)}"
    hint = "give the residual a shortcut of its own: `} shortcut { ... }`"
    if not (is_map(x.shape) and len(x.shape) == len(body.shape)):
        kernel = "1x1 " if rank_of(x.shape) in (FEATURES, IMAGE) else ""
        raise error("E304", f"no {kernel}convolution changes {shapes}", span, hint=hint, notes=notes)
    strides = []
    for before, after in zip(x.shape[1:], body.shape[1:], strict=True):
        stride = -(-before // after)
        if (before - 1) // stride + 1 != after:
            raise error("E304", f"no stride changes {shapes}", span, hint=hint, notes=notes)
        strides.append(stride)
    return tuple(strides)
