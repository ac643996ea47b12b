"""The devices of this machine: which there are, their locks, and how they compute.

- `visible_gpus`: the GPUs that a process may use, and names that all processes share; imports no torch
- `device_locks`: a lock for each device, which processes share; imports no torch
- `torch_device`: the torch device of a name, and the name of its hardware
- `run_time`: the seconds of one run on a device
- `seeds`: seeds that reach one device alone
- `float32_precision`: IEEE or TF32
- `memory_format`: channels innermost or outermost
"""
