"""`make chaos`: the real processes on real servers, broken in every way we know, and judged by what was promised."""
