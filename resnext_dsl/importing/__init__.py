"""Reads torch modules, exported programs and ONNX files as networks.

`module_reading` reads a torch module: by torch.fx first (`fx_trace`), then by torch.export (`exported_trace`). All
readers write a `trace`, the calls of a forward pass in one form. `lowering` turns it into a graph of the language's
operators and imports no torch. `carried_weights` gives the tensors of a source our names, and back.

In `fx_trace`, modules of torch.nn are read by their class (`layer_calls`), and all other code runs on proxies.
`meta_values` computes the sizes of proxies that the code asks for. `fx_calls` names the calls as ATen does.
"""
