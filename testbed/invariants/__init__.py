"""The invariants of a run (I1 to I14): each function returns its violations as texts that name the numbers."""
