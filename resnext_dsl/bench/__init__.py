"""How fast a network runs, beside others: each variant in a process of its own, in rounds, as ratios.

    variants    what is timed: a subject (spec, form, or a network of torchvision or timm) on a backend
    subjects    the module of a subject, with weights that keep its values in range
    memory      the most memory that a process or a GPU has held
    backends    a subject on a backend as a function that runs once
    worker      the process of one variant; it answers requests of one line
    processes   the other end: starts workers, lets one at a time run
    rounds      all of it: prepare, warm up, take turns, collect
    report      medians, spread and ratios; a table and JSON

The process that asks imports no torch; the workers import what their backend needs.
"""

from resnext_dsl.bench.result_table import Report
from resnext_dsl.bench.rounds import bench

__all__ = ["Report", "bench"]
