"""The conservation line: what was sent is received, unique, journaled, confirmed, parsed and delivered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Conservation:
    """Counts of one run, in messages where nothing else is said."""

    sent: int
    received_a: int
    received_b: int
    kernel_drops: int
    journaled: int
    unique: int
    missing: int
    confirmed: int
    parsed: int
    dead: int
    unrouted: int
    records: int
    delivered: int
    lost_in_parsed: int
    repeated: int

    @classmethod
    def of(
        cls, stats: Mapping[str, Mapping[str, Any]], sink: Mapping[str, Any], sent: Mapping[str, Any], feed: str
    ) -> Conservation:
        """From the workers' figures, the sink's and the simulator's summary."""
        by_kind = {name.split("/")[0]: value for name, value in stats.items()}
        capture, publisher, parser = by_kind["capture"], by_kind["publisher"], by_kind["parser"]
        lines = capture["datagrams_total"]
        return cls(
            sent=int(sent["messages"]),
            received_a=lines[f"{feed}.A"],
            received_b=lines[f"{feed}.B"],
            kernel_drops=capture["kernel_drops"],
            journaled=capture["journaled"][feed],
            unique=publisher["unique"],
            missing=publisher["missing"],
            confirmed=publisher["confirmed"],
            parsed=sum(parser["parsed"].values()),
            dead=parser["dead"],
            unrouted=parser["unrouted"],
            records=parser["records"],
            delivered=sink["records"],
            lost_in_parsed=sink["lost"],
            repeated=sink["repeated"],
        )

    def moving(self) -> tuple[int, ...]:
        """What changes while a backlog drains. Records come after it, too: that the lines are silent now."""
        return self.journaled, self.confirmed, self.parsed

    def line(self) -> str:
        """All counts in the order in which the data passes them."""
        return (
            f"sent {self.sent:,} = A {self.received_a:,} = B {self.received_b:,} (kernel drops {self.kernel_drops}); "
            f"journaled {self.journaled:,} datagrams; unique {self.unique:,}, missing {self.missing}; "
            f"confirmed {self.confirmed:,}; parsed {self.parsed:,} + dead {self.dead} + unrouted {self.unrouted}; "
            f"records {self.records:,} = received {self.delivered:,} (repeated {self.repeated})"
        )

    def broken(self) -> list[str]:
        """Every equation that does not hold."""
        equations = (
            ("sent = received on line A", self.sent, self.received_a),
            ("sent = received on line B", self.sent, self.received_b),
            ("kernel drops = 0", self.kernel_drops, 0),
            ("A + B = journaled", self.received_a + self.received_b, self.journaled),
            ("sent = unique", self.sent, self.unique),
            ("missing = 0", self.missing, 0),
            ("unique = confirmed", self.unique, self.confirmed),
            ("unique = parsed + dead + unrouted", self.unique, self.parsed + self.dead + self.unrouted),
            ("records = received", self.records, self.delivered),
            ("records lost in PARSED = 0", self.lost_in_parsed, 0),
        )
        return [f"{text}: {left:,} and {right:,}" for text, left, right in equations if left != right]
