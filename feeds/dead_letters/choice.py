"""Chooses dead letters by feed, reason, type, time and id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from feeds.fix.framing import HEAD
from feeds.parser.dead_letter import DeadLetter


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Everything that is given must hold. An id may be cut short as long as it names one letter."""

    feed: str | None = None
    reason: str | None = None
    msg_type: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    ids: tuple[str, ...] = ()

    def takes(self, letter: DeadLetter) -> bool:
        wanted = ((self.feed, letter.feed), (self.reason, letter.reason), (self.msg_type, type_of(letter.data)))
        if any(value is not None and value != found for value, found in wanted):
            return False
        if self.since_ns is not None and letter.rx_ns < self.since_ns:
            return False
        if self.until_ns is not None and letter.rx_ns >= self.until_ns:
            return False
        return not self.ids or letter.id.startswith(self.ids)


class UnknownLetter(LookupError):
    """An id that names no letter, or more than one."""


def type_of(data: bytes) -> str:
    """The MsgType of a message whose head can be read, else an empty text."""
    head = HEAD.match(data)
    return head[2].decode("latin-1") if head else ""


def letters_of(texts: Iterable[bytes]) -> Iterator[DeadLetter]:
    """Each letter once, in order: one that was written down twice has the same id. What is no letter is left out."""
    seen: set[str] = set()
    for text in texts:
        try:
            letter = DeadLetter.from_json(text)
        except ValueError:
            continue
        if letter.id not in seen:
            seen.add(letter.id)
            yield letter


def chosen(letters: Iterable[DeadLetter], choice: Choice) -> list[DeadLetter]:
    """The letters that `choice` takes. Raises UnknownLetter for an id of it that names none or several."""
    found = [letter for letter in letters if choice.takes(letter)]
    for wanted in choice.ids:
        named = [letter.id for letter in found if letter.id.startswith(wanted)]
        if len(named) != 1:
            what = f"names {len(named)} ({', '.join(named[:5])})" if named else "names none of those that are kept"
            raise UnknownLetter(f"dead letter {wanted}: {what}")
    return found
