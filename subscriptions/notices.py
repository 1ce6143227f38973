"""Tells running workers, on commit, that rights or feeds have changed."""
def connect() -> None:
    pass
