"""The form of an API key: making one, reading one, and the digest that is kept of it.

`mdds_live_<8 id>_<43 secret><6 checksum>`. The checksum lets a mistyped key (and a scanner of leaked ones) be told
without a database; the digest is keyed with the site's secret, so a stolen database gives no keys.
"""

import base64
import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass

PREFIX = "mdds_live_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(r"mdds_live_([0-9A-Za-z]{8})_([0-9A-Za-z_-]{43})([0-9A-Za-z]{6})")


class BadKey(ValueError):
    """The text is not an API key; the message never repeats it."""


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A key in clear: shown once, or just received; `repr` does not show the secret."""

    public_id: str
    text: str

    def __repr__(self) -> str:
        return f"SecretKey({self.public_id!r}, ...)"


def generate() -> SecretKey:
    """A new key with 256 random bits."""
    public_id = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode("ascii")
    body = f"{PREFIX}{public_id}_{secret}"
    return SecretKey(public_id, body + checksum(body))


def parse(text: str) -> SecretKey:
    """The key in the text; BadKey when its form or its checksum is wrong."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise BadKey("not of the form mdds_live_<8 characters>_<49 characters>")
    if not hmac.compare_digest(checksum(text[:-6]), match.group(3)):
        raise BadKey("the checksum is wrong: the key was not copied whole")
    return SecretKey(match.group(1), text)


def checksum(body: str) -> str:
    """CRC32 of the text in base 62, six digits."""
    number, digits = zlib.crc32(body.encode("ascii")), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits


def digest(key: SecretKey, *, site_secret: str) -> str:
    """HMAC-SHA256 in hex, all that is stored of the key."""
    return hmac.new(site_secret.encode(), b"mdds api key " + key.text.encode("ascii"), hashlib.sha256).hexdigest()


def same_digest(found: str, expected: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(found.encode("ascii"), expected.encode("ascii"))
