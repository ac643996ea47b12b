"""Reads torch modules, exported programs and ONNX files as networks.

module_reading    a torch module -> a graph: tries torch.fx, then torch.export
fx_trace          torch.fx: modules of torch.nn by their class (`layer_calls`), all other code on proxies, whose sizes
                  `meta_values` computes if the code asks for them; `fx_calls` names the calls as ATen does
exported_trace    torch.export: the ATen calls of an exported program
trace             the calls of a forward pass, in one form for all sources
lowering          a trace -> a graph of the language's operators; imports no torch
carried_weights   the tensors of a source under our names, and back
"""
