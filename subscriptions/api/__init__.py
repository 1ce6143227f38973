"""The REST interface under `/api/v1`: the same keys, rights and error codes as the stream."""
