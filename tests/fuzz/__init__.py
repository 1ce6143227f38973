"""Fuzzing of framing and routers: sound messages of every type, mutated ones, raw bytes."""
