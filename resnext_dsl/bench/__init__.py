"""Times a network beside others. Each variant has a process of its own; interleaved rounds give ratios.

- `variants`: a subject (spec, form, or a network of torchvision or timm) on a backend
- `subjects`: the module of a subject, with weights that keep its values in range
- `peak_memory`: the most memory that a process or a GPU has held
- `backends`: a subject on a backend, as a function that runs once
- `timing_worker`: the process of one variant; it answers requests of one line
- `timing_processes`: starts workers, and lets one at a time run
- `rounds`: the whole benchmark: prepare, warm up, take turns, collect
- `result_table`: medians, spread and ratios; a table and JSON

The parent process imports no torch. Each worker imports the libraries of its backend.
"""

from resnext_dsl.bench.result_table import Report
from resnext_dsl.bench.rounds import bench

__all__ = ["Report", "bench"]
