"""Benchmarks: what the service costs and holds, run by `bin/bench NAME`."""
