"""The basis of every stage: source texts with spans, diagnostics, options, units, records, atomic writing."""
