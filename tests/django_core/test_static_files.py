"""Static files over ASGI: whole, in part, by name only, and never streamed from a blocking file."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from channels.testing import HttpCommunicator

from mdds_site.asgi import application

ICON = Path(__file__).resolve().parents[2] / "portal" / "static" / "portal" / "icon.svg"
PATH = "/static/portal/icon.svg"
HOST = (b"host", b"localhost")


async def get(path: str, *headers: tuple[bytes, bytes], method: str = "GET") -> tuple[int, dict[bytes, bytes], bytes]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Django warns when it has to read a blocking stream
        communicator = HttpCommunicator(application, method, path, headers=[HOST, *headers])
        answer = await communicator.get_response(timeout=10)
        await communicator.wait(timeout=10)
    return answer["status"], {name.lower(): value for name, value in answer["headers"]}, answer["body"]


async def test_a_file_comes_whole_with_its_type() -> None:
    status, headers, body = await get(PATH)
    assert (status, body) == (200, ICON.read_bytes())
    assert (headers[b"content-type"], headers[b"content-length"]) == (b"image/svg+xml", str(len(body)).encode())
    again, _, nothing = await get(PATH, (b"if-modified-since", headers[b"last-modified"]))
    assert (again, nothing) == (304, b"")


async def test_a_part_and_the_head() -> None:
    status, headers, body = await get(PATH, (b"range", b"bytes=1-3"))
    assert (status, body, headers[b"content-range"].split(b"/")[0]) == (206, b"svg", b"bytes 1-3")
    status, headers, body = await get(PATH, method="HEAD")
    assert (status, body, headers[b"content-length"]) == (200, b"", str(len(ICON.read_bytes())).encode())


@pytest.mark.django_db(transaction=True)
async def test_what_browsers_ask_for_unasked_is_there() -> None:
    status, headers, _ = await get("/favicon.ico")
    assert (status, headers[b"location"]) == (301, PATH.encode())
    _, _, page = await get("/admin/login/")
    assert f'href="{PATH}"'.encode() in page
