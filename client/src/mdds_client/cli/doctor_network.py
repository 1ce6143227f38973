"""The doctor's steps below the protocol: the name, the port, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from mdds_client.cli.exit_codes import CONNECTION
from mdds_client.cli.findings import Finding
from mdds_client.settings import Settings, is_loopback

STEP_S_MAX = 5.0
EXPIRES_SOON_S = 14 * 86_400


async def network_findings(settings: Settings) -> AsyncIterator[Finding]:
    """DNS, TCP, TLS; ends at the first failure."""
    parts = urlsplit(settings.url)
    host, secure = parts.hostname or "", parts.scheme == "wss"
    port = parts.port or (443 if secure else 80)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        async with asyncio.timeout(STEP_S_MAX):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as error:
        why = getattr(error, "strerror", None) or f"no answer within {STEP_S_MAX:g} s"
        advice = "check the host in MDDS_URL (a typing error?) and this machine's name server"
        yield Finding.fail("dns", f"{host}: {why.lower()}", advice, exit_code=CONNECTION)
        return
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    yield Finding.ok("dns", f"{host} is {', '.join(addresses[:4])} ({_ms(loop.time() - begun)})")
    begun = loop.time()
    try:
        async with asyncio.timeout(STEP_S_MAX):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        yield Finding.fail("tcp", f"{host}:{port}: {_plain(error)}", _tcp_advice(error, port), exit_code=CONNECTION)
        return
    writer.close()
    yield Finding.ok("tcp", f"{host}:{port} accepts ({_ms(loop.time() - begun)})")
    if secure:
        yield await _tls(settings, host, port)
    elif is_loopback(settings.url):
        yield Finding.skip("tls", "ws:// on this machine")
    else:
        yield Finding.warn("tls", "ws:// sends the key in the clear", "use wss:// outside a trusted network")


async def _tls(settings: Settings, host: str, port: int) -> Finding:
    context = settings.ssl_context or ssl.create_default_context()
    try:
        async with asyncio.timeout(STEP_S_MAX):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        advice = "check the host name, this machine's clock and its certificate authorities"
        return Finding.fail("tls", f"the certificate is refused: {error.verify_message}", advice, exit_code=CONNECTION)
    except (OSError, TimeoutError) as error:
        advice = "the port may not speak TLS: is it ws:// instead of wss://?"
        return Finding.fail("tls", _plain(error), advice, exit_code=CONNECTION)
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate = tls.getpeercert() or {}
    writer.close()
    expires = certificate.get("notAfter")
    left_s = ssl.cert_time_to_seconds(expires) - time.time() if isinstance(expires, str) else EXPIRES_SOON_S
    text = f"{tls.version()}, certificate valid until {expires}"
    if left_s < EXPIRES_SOON_S:
        return Finding.warn("tls", text, "the certificate ends soon: tell the operator")
    return Finding.ok("tls", text)


def _tcp_advice(error: BaseException, port: int) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on port {port}: is the server running, is the port of MDDS_URL right?"
    return "a firewall or a route is in the way, or the host is down"


def _plain(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {STEP_S_MAX:g} s"
    if isinstance(error, ConnectionRefusedError) or "Errno 111" in str(error):
        return "connection refused"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
