"""Each fault of the reliability list, with real processes and a real broker; each test ends with the invariants."""
