"""Upstream: from the exchange's datagrams to parsed records; knows nothing of clients."""
