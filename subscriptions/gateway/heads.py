"""The leading members of a record line, read without decoding the record."""

from __future__ import annotations

import re

from feeds.records import BOARD_IMAGES

# Groups: 1 stream key, 2 channel, 3 symbol, 4 n, 5 epoch, 6 job, 7 source sequence, 8 market, 9 board, 10 MsgType.
# The member order is fixed by ARCHITECTURE.md ("Records"); a line that does not match is counted, never delivered.
HEAD = re.compile(
    rb'(\{"ch":"([a-z]+)","s":"((?:[^"\\]|\\.)*)"),"n":([0-9]+),"ep":"?([^",]*)"?,'
    rb'(?:"job":"([^"]*)",)?"rx":[0-9]+,"q":(null|-?[0-9]+),"m":(?:"([^"]*)"|null),"bd":(?:"([^"]*)"|null),"mt":"([^"]*)"'
)

LIVE = "live"

Identity = tuple[bytes | None, bytes]  # (board, MsgType or empty)
_BOARD_IMAGES = frozenset(channel.encode() for channel in BOARD_IMAGES)


def image_identity(head: re.Match[bytes]) -> Identity:
    """Which image of its stream a record replaces: the board's, and where types differ in kind, the MsgType's."""
    return head[9], (b"" if head[2] in _BOARD_IMAGES else head[10])


def stream_key(channel: str, symbol: str) -> bytes:
    """The text of a line before `,"n":`; a symbol never needs escaping (`protocol` refuses quotes and controls)."""
    return b'{"ch":"%b","s":"%b"' % (channel.encode(), symbol.encode())


def cut_depth(line: bytes, level: int) -> bytes:
    """The same depth image with at most `level` entries on each side; the same object when nothing is cut."""
    for member in (b',"b":[', b',"a":['):
        start = line.find(member)
        if start < 0:
            continue
        start += len(member)
        end = line.find(b"]]", start - 1)
        if end < 0 or line[start : start + 1] != b"[":
            continue
        entries = line[start : end + 1].split(b"],")
        if len(entries) > level:
            line = line[:start] + b"],".join(entries[:level]) + b"]" + line[end + 1 :]
    return line


def epoch_order(epoch: bytes) -> tuple[int, int]:
    """`20261120-10` comes after `20261120-9`; what is no epoch of ours comes first."""
    day, _, count = epoch.partition(b"-")
    return (int(day), int(count or 0)) if day.isdigit() and (count.isdigit() or not count) else (0, 0)
