"""The meaning of names and expressions: files and imports, name resolution, values, binding of parameters."""
