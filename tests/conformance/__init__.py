"""Every operation, error code and close code of the client protocol against a real gateway process."""
