"""API keys: their form, their checksum, and the digest that is kept."""

from __future__ import annotations

import re

import pytest

from subscriptions import api_keys


def test_a_key_has_the_documented_form_and_reads_back() -> None:
    key = api_keys.generate()
    assert re.fullmatch(r"mdds_live_[0-9A-Za-z]{8}_[0-9A-Za-z_-]{43}[0-9A-Za-z]{6}", key.text)
    assert api_keys.parse(key.text) == key
    assert api_keys.generate().text != key.text


def test_the_checksum_is_crc32_in_base_62() -> None:
    # CRC32 of "123456789" is the well-known 0xCBF43926 = 3421780262.
    assert api_keys.checksum("123456789") == "3jZRME"
    value = 0
    for digit in "3jZRME":
        value = value * 62 + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".index(digit)
    assert value == 0xCBF43926


def test_every_changed_character_is_noticed() -> None:
    text = api_keys.generate().text
    for place in range(len("mdds_live_"), len(text)):
        other = "x" if text[place] != "x" else "y"
        with pytest.raises(api_keys.BadKey):
            api_keys.parse(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize("text", ["", "mdds_live_", "x" * 68, "mdds_test_" + "a" * 58, "mdds_live_é" + "a" * 57])
def test_another_text_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(api_keys.BadKey) as caught:
        api_keys.parse(text)
    assert len(text) < 20 or text not in str(caught.value)


def test_a_trailing_newline_is_not_part_of_a_key() -> None:
    with pytest.raises(api_keys.BadKey):
        api_keys.parse(api_keys.generate().text + "\n")


def test_the_digest_depends_on_the_key_and_on_the_site() -> None:
    key, other = api_keys.generate(), api_keys.generate()
    digest = api_keys.digest(key, site_secret="s")
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert api_keys.same_digest(digest, api_keys.digest(api_keys.parse(key.text), site_secret="s"))
    assert not api_keys.same_digest(digest, api_keys.digest(other, site_secret="s"))
    assert not api_keys.same_digest(digest, api_keys.digest(key, site_secret="t"))


def test_a_key_does_not_show_itself() -> None:
    key = api_keys.generate()
    assert key.text not in repr(key)
    assert key.text not in f"{key}"
