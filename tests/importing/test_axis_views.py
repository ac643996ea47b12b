"""Views of values against torch: a view of indices equals the indices of a view."""

from __future__ import annotations

import itertools
import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from resnext_dsl.importing.lowering.axis_views import ValueView, joined, reshaped, sizes_of, whole

SHAPE = (12, 4, 6)
BATCH_LESS = math.prod(SHAPE)


def indices(view: ValueView) -> list[int]:
    """The positions, in a sample of the node, of the elements of a view in order; the batch is axis 0 of the view."""
    strides = {1: SHAPE[1] * SHAPE[2], 2: SHAPE[2], 3: 1}
    atoms = [atom for dimension in view.dimensions[1:] for atom in dimension]
    ranges = [[strides[atom.axis] * atom.stride * step for step in range(atom.size)] for atom in atoms]
    return [sum(parts) for parts in itertools.product(*ranges)]


@given(st.data())
def test_reshapes_and_permutes_are_those_of_torch(data: st.DataObject) -> None:
    view, tensor = whole(0, SHAPE), torch.arange(BATCH_LESS).reshape(SHAPE)
    for _ in range(3):
        order = data.draw(st.permutations(range(tensor.dim())))
        tensor = tensor.permute(order)
        view = view._replace(dimensions=(view.dimensions[0], *(view.dimensions[place + 1] for place in order)))
        left, sizes = BATCH_LESS, []
        while left > 1 and len(sizes) < 5:
            sizes.append(data.draw(st.sampled_from([size for size in range(2, left + 1) if left % size == 0])))
            left //= sizes[-1]
        sizes += [left] if left > 1 else []
        dimensions = reshaped(view, (sizes_of(view)[0], *sizes))
        if dimensions is None:  # a size that is no part of an axis
            continue
        tensor = tensor.reshape(sizes)
        view = view._replace(dimensions=dimensions)
    assert sizes_of(view)[1:] == tuple(tensor.shape)
    assert indices(view) == tensor.flatten().tolist()


def test_a_reshape_and_its_inverse_give_the_axes_again() -> None:
    view = whole(0, SHAPE)
    batch = sizes_of(view)[0]
    split = view._replace(dimensions=reshaped(view, (batch, 3, 4, 24)))
    assert [len(dimension) for dimension in split.dimensions] == [1, 1, 1, 2]
    again = reshaped(split, (batch, *SHAPE))
    assert again is not None
    assert tuple(map(joined, again)) == view.dimensions


def test_a_size_that_cuts_an_axis_between_its_parts_is_none() -> None:
    view = whole(0, SHAPE)
    assert reshaped(view, (sizes_of(view)[0], 9, 32)) is None
