"""FIX tag=value: framing, field kinds, compiled layouts."""
