"""bin/soak: the whole distributed system under seeded faults, held against the truth while it runs."""
