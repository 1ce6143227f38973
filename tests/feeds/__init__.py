"""Tests of the data path, from a datagram to PARSED."""
