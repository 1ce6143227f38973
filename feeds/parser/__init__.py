"""From RAW to PARSED: drop what was seen, frame, check, route, number, render."""
