"""The parts of `truth`: each file holds the checks of one subject; `benchmarks.gpu.plan` has their order."""
