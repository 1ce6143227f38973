"""The distributed setting: the same commands on PostgreSQL and Redis, and a notice from one process to another."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer

from mdds_site.channel_layers_settings import channel_layers
from testbed.postgresql import PrivatePostgreSQL
from testbed.redis import PrivateRedis

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "mdds8000"
TOUCH = "from subscriptions.models import ApiKey; ApiKey.objects.get().save(); print('saved')"

pytestmark = pytest.mark.services


@pytest.fixture
def environ(postgresql: PrivatePostgreSQL, redis_server: PrivateRedis, tmp_path: Path) -> dict[str, str]:
    return {
        "MDDS_DATA": str(tmp_path),
        "MDDS_DATABASE": postgresql.create_database(f"core_{os.getpid()}_{tmp_path.name[-8:]}".lower()),
        "MDDS_REDIS": redis_server.url,
    }


def manage(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MDDS_")}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


async def heard(layer: RedisPubSubChannelLayer, environ: dict[str, str]) -> dict[str, object]:
    """The notice that another process's save of the key brings here."""
    channel = await layer.new_channel()
    await layer.group_add("rights", channel)
    await asyncio.to_thread(manage, environ, "shell", "-v0", "-c", TOUCH)
    return await asyncio.wait_for(layer.receive(channel), 10)


def test_the_demo_on_postgresql_and_its_notices_over_redis(environ: dict[str, str], redis_server: PrivateRedis) -> None:
    manage(environ, "migrate", "-v0")
    first = manage(environ, "setup_demo").stdout
    assert manage(environ, "setup_demo").stdout == first
    manage(environ, "check", "--database", "default", "--fail-level", "WARNING")
    key_id = first.split("key: mdds_live_")[1][:8]
    config = channel_layers(redis_server.url, prefix=PREFIX)["control"]["CONFIG"]
    assert isinstance(config, dict)

    async def listen() -> dict[str, object]:
        layer = RedisPubSubChannelLayer(**config)
        try:
            return await heard(layer, environ)
        finally:
            await layer.flush()

    message = asyncio.run(listen())
    assert (message["type"], message["what"], message["keys"]) == ("rights.changed", "apikey", [key_id])
    redis_server.kill()
    done = manage(environ, "shell", "-v0", "-c", TOUCH)
    assert done.stdout == "saved\n"
    assert "notice to rights failed" in done.stderr
