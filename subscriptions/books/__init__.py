"""Books, quotes and bars, derived once from what the parsers publish."""
