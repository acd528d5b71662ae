"""How fast pools breathe on a real node: from zero, out, and in again; for comparison with other autoscalers."""
