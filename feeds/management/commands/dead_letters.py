"""Lists dead letters, shows one, puts them in again after a fix."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from feeds.bus.base import Bus, Outgoing
from feeds.bus.factory import open_bus
from feeds.dead_letters import spool
from feeds.dead_letters.choice import Choice, UnknownLetter, chosen, letters_of, type_of
from feeds.dead_letters.reinjection import Prepared, prepare
from feeds.dead_letters.shown import page, received_at, row
from feeds.feed_rows import load_feeds
from feeds.parser import checkpoint
from feeds.parser.dead_letter import DeadLetter

NOBODY = "no dead letter fits"
PUBLISH_S_MAX = 30.0


class Command(BaseCommand):
    help = "Lists the dead letters (messages the parser refused), shows one, or puts them in again after a fix."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|show|reinject")
        listing = verbs.add_parser("list", help="one line each, oldest first")
        _add_filters(listing)
        listing.add_argument("--limit", type=_count, default=50, metavar="N", help="the newest N (default 50)")
        listing.add_argument("--json", action="store_true", help="one JSON object each")
        show = verbs.add_parser("show", help="fields and bytes of one, the broken place marked")
        show.add_argument("id", help="as `list` prints it, or its beginning")
        again = verbs.add_parser("reinject", help="through RAW again; what has passed meanwhile is a duplicate")
        again.add_argument("ids", nargs="*", metavar="ID", help="as `list` prints them, or their beginnings")
        again.add_argument("--all", action="store_true", help="all that the other options choose")
        _add_filters(again)
        again.add_argument("--dry-run", action="store_true", help="say what would go in, and what would not")

    def handle(self, *, verb: str, **options: Any) -> None:
        try:
            getattr(self, f"_{verb}")(options)
        except (UnknownLetter, ConnectionError, spool.SpoolFull, TimeoutError) as error:
            raise CommandError(str(error) or f"the bus did not answer within {PUBLISH_S_MAX:.0f} s") from error

    def _list(self, options: dict[str, Any]) -> None:
        letters = asyncio.run(_kept(_choice(options)))
        for letter in letters[-options["limit"] :]:
            self.stdout.write(json.dumps(_as_dict(letter)) if options["json"] else row(letter))
        if not options["json"]:
            shown = min(len(letters), options["limit"])
            self.stderr.write(f"{shown} of {len(letters)} dead letters" if letters else NOBODY, str)

    def _show(self, options: dict[str, Any]) -> None:
        (letter,) = asyncio.run(_kept(Choice(ids=(options["id"],))))
        self.stdout.write("\n".join(page(letter)))

    def _reinject(self, options: dict[str, Any]) -> None:
        if bool(options["ids"]) == options["all"]:
            raise CommandError("name the letters by their ids, or say --all (with --feed, --reason, … to choose)")
        prepared = asyncio.run(_reinject(_choice(options), dry_run=options["dry_run"]))
        for letter, why in prepared.refused:
            self.stderr.write(f"{letter.id} is not put in: {why}", str)
        would = "would be " if options["dry_run"] else ""
        self.stdout.write(f"{len(prepared.letters)} {would}put in again, {len(prepared.refused)} refused")
        if prepared.refused and not prepared.letters:
            raise CommandError("nothing was put in again")


async def _kept(choice: Choice) -> list[DeadLetter]:
    bus = _bus()
    await bus.open()
    try:
        return chosen(letters_of([text async for text in bus.dead_letters()]), choice)
    finally:
        await bus.close()


async def _reinject(choice: Choice, *, dry_run: bool) -> Prepared:
    mdds = settings.MDDS
    loop = asyncio.get_running_loop()
    rows = await loop.run_in_executor(None, lambda: load_feeds(partitions=mdds.partitions))
    letters = await _kept(choice)
    bus, now_ns = _bus(), time.time_ns()
    await bus.open()
    try:
        prepared = prepare(letters, {feed.name: feed for feed in rows}, epochs=await _epochs(bus), now_ns=now_ns)
        if dry_run or not prepared.messages:
            return prepared
        if mdds.embedded:
            spool.write(mdds.data_dir / "dead_letters" / "reinject", prepared.messages, now_ns=now_ns)
        else:
            outgoing = [Outgoing(*raw) for raw in prepared.messages]
            await asyncio.wait_for(bus.publish_raw(outgoing), PUBLISH_S_MAX)
        return prepared
    finally:
        await bus.close()


async def _epochs(bus: Bus) -> dict[str, int]:
    """The epoch each feed's parsers are at, from their checkpoints."""
    epochs: dict[str, int] = {}
    for partition in range(settings.MDDS.partitions):
        body = await bus.retained(f"raw.live.{partition}")
        for context in checkpoint.decode(body).contexts if body is not None else ():
            if context.origin == "live":
                epochs[context.feed] = max(context.epoch, epochs.get(context.feed, 0))
    return epochs


def _bus() -> Bus:
    mdds = settings.MDDS
    return open_bus(mdds.bus_url, prefix=mdds.prefix, data_dir=mdds.data_dir, partitions=mdds.partitions)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--feed", metavar="NAME")
    parser.add_argument("--reason", metavar="CODE", help="such as CHECKSUM")
    parser.add_argument("--type", dest="msg_type", metavar="TYPE", help="MsgType, such as X")
    parser.add_argument("--since", type=_moment, metavar="TIME", help="received at or after: 2026-11-20T02:15:00 (UTC)")
    parser.add_argument("--until", type=_moment, metavar="TIME", help="received before")


def _choice(options: dict[str, Any]) -> Choice:
    return Choice(
        feed=options["feed"],
        reason=options["reason"],
        msg_type=options["msg_type"],
        since_ns=options["since"],
        until_ns=options["until"],
        ids=tuple(options.get("ids") or ()),
    )


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a time such as 2026-11-20T02:15:00 expected, found {text!r}") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000_000)


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number above 0 expected, found {text!r}")
    return int(text)


def _as_dict(letter: DeadLetter) -> dict[str, object]:
    value: dict[str, object] = json.loads(letter.as_json())
    return {"id": letter.id, "received": received_at(letter), "type": type_of(letter.data), **value}
