"""Reads torch modules, exported programs and ONNX files as networks."""
