"""Which subscriptions a record belongs to: records carry no subscription id, only channel, symbol and replay job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

CACHE_MAX = 65_536  # answers kept; past it the cache is emptied and fills again


class Interest(Protocol):
    """What a subscription asked for. `symbols` may hold `*` and prefixes (`VN30*`)."""

    @property
    def channels(self) -> tuple[str, ...]: ...

    @property
    def symbols(self) -> tuple[str, ...]: ...

    @property
    def origin(self) -> str | None: ...


S = TypeVar("S", bound=Interest)


class Routes(Generic[S]):
    """A set of subscriptions, asked once per record."""

    def __init__(self) -> None:
        self._subscriptions: list[S] = []
        self._answers: dict[tuple[str, str, str | None], tuple[S, ...]] = {}

    def __iter__(self) -> Iterator[S]:
        return iter(tuple(self._subscriptions))

    def add(self, subscription: S) -> None:
        self._subscriptions.append(subscription)
        self._answers.clear()

    def discard(self, subscription: S) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._answers.clear()

    def of(self, channel: str, symbol: str, *, origin: str | None) -> tuple[S, ...]:
        """The subscriptions that want this stream; `origin` is None for live."""
        key = (channel, symbol, origin)
        answer = self._answers.get(key)
        if answer is None:
            if len(self._answers) >= CACHE_MAX:
                self._answers.clear()
            answer = self._answers[key] = tuple(
                subscription
                for subscription in self._subscriptions
                if subscription.origin == origin
                and channel in subscription.channels
                and any(matches(pattern, symbol) for pattern in subscription.symbols)
            )
        return answer


def matches(pattern: str, symbol: str) -> bool:
    """Whether a symbol is the pattern, or begins like a pattern that ends with `*`."""
    return symbol.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == symbol
