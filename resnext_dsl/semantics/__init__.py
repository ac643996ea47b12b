"""What names and expressions mean: files and imports, name resolution, values, binding of parameters."""
