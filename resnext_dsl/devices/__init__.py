"""How a device of this machine computes: seeds, float32 precision, the memory format of tensors."""
