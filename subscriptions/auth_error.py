"""The refusal of a secret.  [pure]"""


class AuthError(Exception):
    """`code` is the protocol's; `msg` may be shown to the client: it tells nothing of keys that do not exist."""

    def __init__(self, code: str, msg: str) -> None:
        super().__init__(f"{code}: {msg}")
        self.code = code
        self.msg = msg
