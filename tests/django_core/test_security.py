"""Security headers and safe log lines."""

from __future__ import annotations

import logging
import re
import sys

import pytest
from django.test import Client

from mdds_site.log_lines import OneLineFormatter, escaped


def csp(client: Client, path: str) -> dict[str, str]:
    header = client.get(path)["Content-Security-Policy"]
    return dict(part.split(" ", 1) for part in header.split("; "))


@pytest.mark.django_db
def test_scripts_need_this_responses_nonce() -> None:
    client = Client()
    first, second = (csp(client, "/health/live")["script-src"] for _ in range(2))
    assert re.fullmatch(r"'self' 'nonce-[\w-]{22}'", first)
    assert first != second
    assert "'unsafe-eval'" in csp(client, "/admin/login/")["script-src"]
    assert "'unsafe-inline'" not in csp(client, "/admin/login/")["script-src"]
    assert csp(client, "/health/live")["frame-ancestors"] == "'none'"


@pytest.mark.django_db
def test_the_admin_has_no_inline_script_that_the_policy_would_stop(admin_client: Client) -> None:
    for path in ("/admin/", "/admin/feeds/feed/add/", "/admin/subscriptions/contract/add/"):
        text = admin_client.get(path).content.decode()
        inline = re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>", text)
        assert [tag for tag in inline if "nonce=" not in tag] == []
        assert not re.search(r"<[^>]+\son(click|load|change|submit)=", text)


@pytest.mark.django_db
def test_static_files_are_served_without_collecting(client: Client) -> None:
    answer = client.get("/static/admin/css/base.css")
    assert answer.status_code == 200
    assert b"body" in answer.content
    assert client.get("/static/../settings.py").status_code == 404


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202etxt\u2066", "\\u202etxt\\u2066"),
        ("\u2028\x85\x00", "\\u2028\\x85\\x00"),
        ("giá\tđúng", "giá\tđúng"),
    ],
)
def test_what_could_forge_a_line_is_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_record_is_one_line_and_a_traceback_is_indented() -> None:
    def record(message: str, *args: object, **kwargs: object) -> logging.LogRecord:
        made = logging.LogRecord("gateway", logging.WARNING, "f", 1, message, args, kwargs.get("exc_info"))
        made.created, made.msecs = 1_795_141_500.123, 123.0
        return made

    line = OneLineFormatter().format(record("key %s", "x\n2026-11-20T00:00:00Z INFO forged"))
    assert line == "2026-11-20T02:25:00.123Z WARNING gateway: key x\\n2026-11-20T00:00:00Z INFO forged"
    try:
        raise ValueError("bad\nINFO forged")
    except ValueError:
        lines = OneLineFormatter().format(record("failed", exc_info=sys.exc_info())).split("\n")
    assert all(text.startswith("    ") for text in lines[1:])
    assert not any(text.startswith("INFO") for text in lines)
