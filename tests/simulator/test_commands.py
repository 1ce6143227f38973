"""The two commands as an operator types them."""

import json
import os
import signal
import threading
import time
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from feeds.config import FeedConfig
from feeds.models import Exchange, Feed, Line
from feeds.simulator.truth import TruthReader
from tests.simulator.conftest import feed_on
from tests.simulator.listening import Listener

pytestmark = pytest.mark.django_db

FIX = b"8=FIX.4.4\x019=5\x0135=MV\x0152=20261121 01:02:03.004\x0110=123\x01"


@pytest.fixture
def rows() -> FeedConfig:
    """Feed STO with two multicast lines in the database; feed BDO, whose market the simulator does not know."""
    feed = feed_on(multicast=True)
    exchange = Exchange.objects.get_or_create(code="HOSE", defaults={"name": "Ho Chi Minh Stock Exchange"})[0]
    row = Feed.objects.create(name="SIM", exchange=exchange, markets=["STO", "BDO"])
    bonds = Feed.objects.create(name="BONDS", exchange=exchange, markets=["BDO"])
    for line in feed.lines:
        Line.objects.create(feed=row, name=line.name, group=line.group, port=line.port, interface=line.interface)
    Line.objects.create(feed=bonds, name="A", group="239.1.2.3", port=4001, interface="127.0.0.1")
    return feed


def simulator(*arguments: str) -> str:
    out = StringIO()
    call_command("run_simulator", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def play(*arguments: str) -> str:
    out = StringIO()
    call_command("play", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_simulator_runs_ends_and_says_what_it_did(rows: FeedConfig, tmp_path: Path) -> None:
    truth = tmp_path / "run.truth"
    options = ["--feed", "SIM", "--symbols", "3", "--rate", "5000", "--count", "200", "--truth", str(truth), "--json"]
    summary = json.loads(simulator(*options, "--loss", "A:0.1", "--drop-both", "5-6", "--quiet"))
    assert summary["messages"] == 200
    lines = summary["feeds"]["SIM"]["lines"]
    assert lines["B"]["lost"] == 2
    assert lines["A"]["lost"] > 5
    assert len([message for message in TruthReader(truth) if message.sequence]) == 200
    assert TruthReader(truth).run["seed"] == 1


def test_the_simulator_says_it_in_words_too(rows: FeedConfig) -> None:
    text = simulator("--feed", "SIM", "--rate", "5000", "--count", "50", "--no-heartbeat", "--duplicate", "B:1")
    assert "50 messages" in text
    assert "A sent 50; B sent 100, duplicated 50" in text


def test_sigterm_ends_the_simulator_within_a_second(rows: FeedConfig) -> None:
    sent_at = []

    def terminate() -> None:
        sent_at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    timer = threading.Timer(0.3, terminate)
    timer.start()
    text = simulator("--feed", "SIM", "--rate", "100", "--quiet")
    assert time.monotonic() - sent_at[0] < 1.0
    assert "ended after" in text
    timer.join()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--feed", "NONE"], r"there is no feed 'NONE'; known are .*SIM"),
        (["--feed", "BONDS"], r"feed BONDS: at least one of the simulated markets STO, STX, UPX, DVX expected"),
        (["--feed", "SIM", "--loss", "C:0.1"], "line A or B expected before the colon, found 'C:0.1'"),
        (["--feed", "SIM", "--loss", "2"], "a share from 0 to 1 expected, found '2'"),
        (["--feed", "SIM", "--rate", "0"], "a number above 0 expected, found '0'"),
        (["--feed", "SIM", "--burst", "x"], "FACTORx:LENGTHs:EVERYs expected"),
        (["--feed", "SIM", "--drop-both", "9-3"], "a range of datagram numbers from 1 expected, found '9-3'"),
        (["--feed", "SIM", "--truth", "/nowhere/x"], "--truth /nowhere/x: No such file or directory"),
        (["--feed", "SIM", "--prepared", "5", "--day", "realtime"], "--prepared goes with --steady only"),
    ],
)
def test_a_bad_option_of_the_simulator_is_named(rows: FeedConfig, arguments: list[str], error: str) -> None:
    with pytest.raises(CommandError, match=error):
        simulator(*arguments)


def test_play_sends_a_recording(rows: FeedConfig, tmp_path: Path) -> None:
    file = tmp_path / "two.cap"
    file.write_bytes(b"1000 A %s\n2000 B %s\n" % (FIX, FIX))
    listening = [Listener(line) for line in rows.lines]
    text = play(str(file), "--feed", "SIM")
    assert "played 2 of 2 datagrams to feed SIM" in text
    assert [listener.received() for listener in listening] == [[FIX, FIX], [FIX, FIX]]
    for listener in listening:
        listener.close()


def test_nothing_is_sent_of_a_broken_recording(rows: FeedConfig, tmp_path: Path) -> None:
    file = tmp_path / "broken.cap"
    file.write_bytes(b"1000 A %s\n2000 Z %s\n" % (FIX, FIX))
    listener = Listener(rows.lines[0])
    with pytest.raises(CommandError, match=r"broken\.cap, line 2: expected line A or B, found b'Z'; nothing was sent"):
        play(str(file), "--feed", "SIM")
    assert listener.received() == []
    listener.close()


@pytest.mark.parametrize(
    ("content", "arguments", "error"),
    [
        (b"1 A " + FIX, ["--feed", "NONE"], "there is no feed 'NONE'; known are"),
        (b"", ["--feed", "SIM"], "expected at least one datagram, found an empty file"),
        (None, ["--feed", "SIM"], r"session\.cap: No such file or directory"),
        (b"1 A " + FIX, ["--feed", "SIM", "--speed", "fast"], "a number of 0 or more expected, found 'fast'"),
        (b"1 A " + FIX, ["--feed", "BONDS", "--line", "B"], "feed BONDS has no line B; its lines are A"),
    ],
)
def test_a_bad_argument_of_play_is_named(
    rows: FeedConfig, tmp_path: Path, content: bytes | None, arguments: list[str], error: str
) -> None:
    file = tmp_path / "session.cap"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=error):
        play(str(file), *arguments)
