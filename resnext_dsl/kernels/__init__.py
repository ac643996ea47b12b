"""Triton kernels for grouped convolutions with a kernel of 3x3, and the choice between them and torch's kernels.

- `layer_shape`: the shape of a layer, and the layers that the kernels compute
- `configurations`: the kernels and their block sizes that are tried for a layer
- `triton_kernels`: the kernels
- `launch`: one function for each direction (forward, data gradient, weight gradient)
- `choice_table`: the fastest configuration of each layer, kept in a file for each card
- `kernel_choice`: takes a configuration from the table, or measures
- `tuning`: measures the configurations of a layer on the card
- `torch_operator`: the operators of torch: autograd, autocast, shapes, FLOPs
- `grouped_conv2d`: the `nn.Conv2d` that calls them
- `module_kernels`: puts it in the place of the convolutions of a network

Only `triton_kernels` and `launch` need Triton. A machine without it uses torch's kernels.
"""
