"""Replays: a range of a feed's journal, published to RAW again under its own origin."""
