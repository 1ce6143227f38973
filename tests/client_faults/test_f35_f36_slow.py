"""F35, F36: five clients that read 1 kB/s and five that never read, beside a hundred that notice nothing of them."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from pathlib import Path
from statistics import quantiles
from typing import Any

from tests.client_faults.light import LightClient, SlowReader, run
from tests.client_faults.process import GatewayProcess

NORMAL, SLOW, DEAF = 100, 5, 5
ALONE_S = 6.0
TOGETHER_S_MAX = 50.0
RATIO_MAX = 1.5
# What others do on this machine makes a second worse, never better, and not alike for both: then more seconds of both
# are looked at. What slow clients do to the others is there in every round.
ROUNDS_MAX = 3
BOUND = 131_072  # of the slow clients' plan
QUEUED_MAX = BOUND + 400_000  # the bound, what one flush fans out, and one look at it
GROWTH_BYTES_MAX = 24 << 20
STEP_S = 0.1
STREAMS = (("trade", "FPT", 1, 10), ("depth", "FPT", 1, 10), ("trade", "FAT", 1, 2_000))
_RECORD = re.compile(rb'"ch":"(trade|depth)","s":"(\w+)","n":([0-9]+)')
_MADE = re.compile(rb'"made":([0-9]+)')


class Normal:
    """Counts what comes and how late it is; anything but its records, in order and whole, is a fault."""

    def __init__(self) -> None:
        self.last: dict[bytes, int] = {}
        self.faults: list[str] = []
        self.late_ms: dict[int, list[float]] = {}  # by second

    def on_text(self, text: bytes) -> None:
        if text[:1] != b"[":
            if b'"t":"notice"' in text or b'"t":"error"' in text or b'"t":"gap"' in text:
                self.faults.append(text.decode())
            return
        now_ns = time.time_ns()
        made = _MADE.search(text)
        if made is not None:
            self.late_ms.setdefault(now_ns // 10**9, []).append((now_ns - int(made[1])) / 1e6)
        for channel, _, number in _RECORD.findall(text):
            if int(number) != self.last.get(channel, int(number) - 1) + 1:
                self.faults.append(f"{channel!r}: {number!r} after {self.last[channel]}")
            self.last[channel] = int(number)


def p99_ms(clients: list[Normal], *spans: tuple[float, float]) -> float:
    """The lower quartile of the seconds' p99: what others do on this machine makes seconds worse, never better."""
    found = []
    for since_s, until_s in spans:
        for second in range(int(since_s) + 1, int(until_s)):
            late = sorted(itertools.chain.from_iterable(one.late_ms.get(second, ()) for one in clients))
            if late:
                found.append(late[len(late) * 99 // 100])
    return quantiles(found, n=4)[0]


def account(reader: SlowReader) -> dict[str, Any]:
    """Every trade of every stream from the first on: received or in a range, once, in order; images only forward."""
    expected: dict[str, int] = {}
    image, codes, received, skipped, acts = 0, [], 0, 0, set()
    for text in reader.frames:
        frame = json.loads(text)
        if isinstance(frame, dict):
            if frame["t"] != "notice":
                continue
            codes.append(frame["code"])
            if frame["code"] == "SLOW_START":
                acts.add((frame["sid"], frame["action"]))
                assert frame["queued"] >= BOUND // 2
            if frame["code"] == "SKIPPED":
                assert frame["from"] == expected.get(frame["s"], frame["from"]), (frame, expected)
                assert frame["to"] >= frame["from"]
                skipped += frame["to"] - frame["from"] + 1
                expected[frame["s"]] = frame["to"] + 1
            continue
        for one in frame:
            if one["ch"] == "trade":
                assert one["n"] == expected.get(one["s"], one["n"]), (one["s"], one["n"], expected)
                expected[one["s"]] = one["n"] + 1
                received += 1
            else:
                assert one["n"] > image
                image = one["n"]
    return {"codes": codes, "received": received, "skipped": skipped, "acts": acts, "image": image}


def slow_reader(port: int) -> SlowReader:
    reader = SlowReader(port, key="narrow")
    while not reader.frames:
        reader.read(4_096)
    reader.send(op="sub", id=1, ch="trade", symbols=["FPT", "FAT"])
    reader.send(op="sub", id=2, ch="depth", symbols=["FPT"], snapshot=False)
    return reader


def session_of(reader: SlowReader) -> str:
    return str(json.loads(reader.frames[0])["session"])


async def alone(gateway: GatewayProcess) -> tuple[float, float]:
    """The same questions to the gateway as beside the slow ones, they cost time as well. From when until when."""
    began_s = time.time()
    while time.time() < began_s + ALONE_S:
        await asyncio.to_thread(gateway.stats)
        await asyncio.sleep(STEP_S)
    return began_s, time.time()


async def together(gateway: GatewayProcess, slow: list[SlowReader], deaf: list[SlowReader]) -> list[int]:
    """Until all of them are cut. The slow ones read 1 kB/s, but for a moment once each has had something skipped; all
    read to the end what was on its way when they were cut. Returns the gateway's memory without its histories."""
    woken, cut, memory, deadline = False, 0, [], time.monotonic() + TOGETHER_S_MAX
    before = (await asyncio.to_thread(gateway.stats))["closes"].get("4001", 0)
    while cut < len(slow) + len(deaf):
        assert time.monotonic() < deadline, f"{cut} were cut"
        found = await asyncio.to_thread(gateway.stats)
        memory.append(gateway.resident_bytes - found["history_bytes"])
        assert found["queued_max"] < QUEUED_MAX
        narrow = [row for row in found["sessions"] if row["key_id"] == "narrow01"]
        cut = found["closes"].get("4001", 0) - before
        if not woken and len(narrow) == len(slow) + len(deaf) and all(row["skipped"] for row in narrow):
            woken = True
            for _ in range(20):
                for one in slow:
                    one.drain()
                await asyncio.sleep(STEP_S / 10)
        for one in slow:
            one.read(int(1_000 * STEP_S))
        present = {row["session"] for row in narrow}
        for one in [*slow, *deaf]:
            if session_of(one) not in present:  # it was cut, and has two seconds for the close frame
                one.drain()
        await asyncio.sleep(STEP_S)
    assert woken, "they were cut before they could read why"
    for _ in range(10):
        for one in [*slow, *deaf]:
            one.drain()
        await asyncio.sleep(STEP_S)
    return memory


async def story(gateway: GatewayProcess) -> None:
    normal = [Normal() for _ in range(NORMAL)]
    clients = [await LightClient.connect(gateway.port, one.on_text, key="roomy") for one in normal]
    for client in clients:
        client.send(op="sub", id=1, ch="trade", symbols=["FPT"])
        client.send(op="sub", id=2, ch="depth", symbols=["FPT"], snapshot=False)
    await asyncio.to_thread(gateway.publish, *STREAMS, interval_s=0.01)
    await asyncio.sleep(1.0)
    slow: list[SlowReader] = []
    deaf: list[SlowReader] = []
    quiet, crowded = [await alone(gateway)], []
    for _ in range(ROUNDS_MAX):
        began_s = time.time()
        readers = [slow_reader(gateway.port) for _ in range(SLOW + DEAF)]
        memory = await together(gateway, readers[:SLOW], readers[SLOW:])
        slow += readers[:SLOW]
        deaf += readers[SLOW:]
        crowded.append((began_s, time.time()))
        quiet.append(await alone(gateway))
        assert_no_growth(memory)
        alone_ms, beside_ms = p99_ms(normal, *quiet), p99_ms(normal, *crowded)
        print(f"p99 of {NORMAL} clients: {alone_ms:.1f} ms alone, {beside_ms:.1f} ms beside {SLOW + DEAF} slow ones")
        if beside_ms < RATIO_MAX * alone_ms:
            break
    assert beside_ms < RATIO_MAX * alone_ms
    await asyncio.to_thread(gateway.ask, "stop publishing")
    published = (await asyncio.to_thread(gateway.stats))["published"]
    last = {name.encode(): published[f"{name}:FPT"] for name in ("trade", "depth")}
    for _ in range(100):
        if all(one.last == last for one in normal):
            break
        await asyncio.sleep(STEP_S)
    assert [one.faults[:1] for one in normal if one.faults] == []
    assert [one.last for one in normal] == [last] * NORMAL
    assert_told(slow, deaf)
    assert_accounted(await asyncio.to_thread(gateway.stats), len(slow) + len(deaf))


def assert_told(slow: list[SlowReader], deaf: list[SlowReader]) -> None:
    """The slow ones read all of it; of the deaf ones at least one got as far as the close frame."""
    for one in slow:
        found = account(one)
        assert found["codes"][0] == "SLOW_START"
        assert {"SKIPPED", "SLOW_END"} <= set(found["codes"])
        assert found["acts"] == {(1, "skip"), (2, "conflate")}
        assert found["skipped"] > 0
        assert one.close_code == 4001
    for one in [*slow, *deaf]:
        one.close()
    for one in deaf:
        account(one)
        assert one.close_code in (4001, None)  # the close frame waits behind half a megabyte that they did not read
    assert any(one.close_code == 4001 for one in deaf)


def assert_accounted(stats: dict[str, Any], cut: int) -> None:
    """I6 of all sessions together, once nothing is under way: what was queued for one that was cut is discarded with
    it; a client that caught up gets the last image again that it had lost, which is beside what was eligible."""
    assert stats["closes"] == {"4001": cut}
    accounted = stats["delivered"] + stats["conflated"] + stats["skipped"] + stats["discarded"]
    assert 0 <= accounted - stats["eligible"] <= cut


def assert_no_growth(memory: list[int]) -> None:
    settled = memory[len(memory) // 3 :]
    assert max(settled) - settled[0] < GROWTH_BYTES_MAX, "memory grows beside clients that do not read"


def test_normal_clients_notice_nothing_of_slow_ones(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "gateway") as gateway:
        run(story(gateway))
