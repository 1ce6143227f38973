"""Dead letters after the parser: kept, chosen, shown, put in again."""
