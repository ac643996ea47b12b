"""The parts of `kernels`: our kernels for grouped convolutions, their results and their times beside torch's."""
