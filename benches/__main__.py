"""Runs one benchmark by name."""

from __future__ import annotations

import sys
from importlib import import_module

BENCHES = {
    "capture": "full receive buffers → the capture loop → journal: datagrams/s and cost of the loop alone",
    "burst": "100,000 datagrams as fast as the sender can: no drop, all journaled, drained, memory flat",
    "connections": "ten thousand authenticated, subscribed clients on one gateway: time to accept, memory, heartbeats",
    "end-to-end": "simulator → UDP → … → client callback: the age of records at 200 clients, raw and SDK",
    "fanout": "PARSED → one gateway → many clients: records/s, CPU, ages, each client exact; NATS and stock layers",
    "parse": "simplefix, the general path and the layout path on the same messages",
    "pipeline": "simulator → multicast → capture → RAW → parser → PARSED → sink, conservation and latency",
}


def main() -> int:
    """Exit code of the benchmark; 2 for an unknown name."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print("usage: bin/bench NAME [options]\n")
        for known, text in BENCHES.items():
            print(f"  {known:12}{text}")
        return 0
    if name not in BENCHES:
        print(f"bin/bench: unknown benchmark {name!r}, expected one of: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    return int(import_module(f"benches.{name.replace('-', '_')}").main(sys.argv[2:]))


if __name__ == "__main__":
    raise SystemExit(main())
