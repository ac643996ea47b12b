"""What every stage stands on: source texts with spans, diagnostics, options, units, records, atomic writing."""
