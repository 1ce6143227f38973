"""The coverage-guided target: bytes become datagrams, framing must cover them, both parse paths must agree.

Run by hand for longer: `python -m tests.fuzz.atheris_target -max_total_time=600 CORPUS_FOLDER`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["feeds.fix", "feeds.krx", "feeds.parser", "feeds.capture.arbiter"]):
    from feeds.fix import framing
    from tests.fuzz.both_paths import by_both

from feeds.parser.translator import Translator
from tests.feeds.wire import book, expected, framed, trade

SEEDS = (trade(1), book(1), expected(1))
TRANSLATOR = Translator()


def one_input(data: bytes) -> None:
    """As it is; then as the body of a sound frame between sound messages, so that routers and layouts see it too."""
    spans = framing.split(data)
    if b"".join(span.data for span in spans) != data:
        raise AssertionError("framing lost bytes")
    start = data.find(b"35=")
    body = data[start:-7] if start >= 0 else b"35=X\x01" + data
    datagrams = [SEEDS[0], SEEDS[1], data, framed(body.rstrip(b"\x01") + b"\x01")]
    layouts, general, _ = by_both(datagrams, TRANSLATOR)
    if layouts != general:
        raise AssertionError(f"the paths disagree: {layouts} and {general}")


def main() -> None:
    for folder in (argument for argument in sys.argv[1:] if not argument.startswith("-")):
        for number, seed in enumerate(SEEDS):
            (Path(folder) / f"seed{number}").write_bytes(seed)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
