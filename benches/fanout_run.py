"""Measures one server's fan-out: clients first, then records at a rate, then what each client got."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from benches.gateway_under_test import Talker, cpu_s

DRAIN_S_MAX = 20.0  # without one more record at any client


@dataclass(frozen=True, slots=True)
class Work:
    """`clients` that follow `symbols` each, of `universe` symbols that get `rate` records a second together."""

    clients: int
    symbols: int
    rate: int
    seconds: float
    universe: int = 400
    processes: int = 1
    alike: int = 0  # so many different choices of symbols; 0: each client its own

    @property
    def names(self) -> list[str]:
        return [f"S{number:03}" for number in range(self.universe)]

    def choices(self) -> list[list[str]]:
        """The symbols of each client."""
        source, names = random.Random(7), self.names
        made = [source.sample(names, self.symbols) for _ in range(min(self.alike or self.clients, self.clients))]
        return [made[number % len(made)] for number in range(self.clients)]

    def __str__(self) -> str:
        return f"{self.clients:,} clients × {self.symbols} of {self.universe} symbols, {self.rate:,} records/s"


@dataclass(frozen=True, slots=True)
class Outcome:
    server: str
    work: Work
    delivered: int
    eligible: int
    wrong: list[str]  # clients whose records are not what they should be
    seconds: float  # from the first record published to the last one delivered
    published_s: float  # what publishing took
    cpu_s: float
    load_cpu_s: float
    frames: int
    bytes: int
    ages_us: Counter[int]
    unread_us: Counter[int]  # how long what was read had been in the client's socket
    notices: Counter[str]

    @property
    def per_cpu_s(self) -> float:
        return self.delivered / self.cpu_s if self.cpu_s else 0.0

    @property
    def per_s(self) -> float:
        return self.delivered / self.seconds

    @property
    def cores(self) -> float:
        return self.cpu_s / self.seconds

    def age_ms(self, share: float) -> float:
        return share_ms(self.ages_us, share)

    def lines(self) -> str:
        rate = self.work.rate * self.work.seconds / self.published_s
        return (
            f"{self.server}: {self.work}, {rate:,.0f}/s held for {self.published_s:.1f} s\n"
            f"  {self.per_s:,.0f} records/s delivered with {self.cores:.2f} cores: "
            f"{self.per_cpu_s:,.0f} a CPU second; {self.frames / self.seconds:,.0f} frames/s, "
            f"{self.bytes / self.seconds / 1e6:,.0f} MB/s; load generators {self.load_cpu_s / self.seconds:.2f} cores\n"
            f"  published to client: p50 {self.age_ms(0.5):.1f} ms, p99 {self.age_ms(0.99):.1f} ms, "
            f"p99.9 {self.age_ms(0.999):.1f} ms; of it in the client's socket, before the load generator read it: "
            f"p50 {share_ms(self.unread_us, 0.5):.1f} ms, p99 {share_ms(self.unread_us, 0.99):.1f} ms\n"
            f"  eligible {self.eligible:,} = delivered {self.delivered:,} + skipped {self.eligible - self.delivered:,}"
            f", clients not exact: {len(self.wrong)}, notices: {dict(self.notices) or 'none'}"
        )


def share_ms(ages_us: Counter[int], share: float) -> float:
    """A quantile of ages in steps of 100 µs, its upper edge in ms; 0 of nothing."""
    left = share * ages_us.total()
    for age in sorted(ages_us):
        left -= ages_us[age]
        if left <= 0:
            return (age + 100) / 1000
    return 0.0


class Loads:
    """The load generators of one work."""

    def __init__(self, work: Work, **spec: Any) -> None:
        choices = work.choices()
        self.processes = []
        for number in range(work.processes):
            mine = choices[number :: work.processes]
            process = Talker("benches.load")
            first = number * len(mine)
            process.tell(json.dumps({**spec, "symbols": mine, "first": first}))
            self.processes.append(process)
        self.order = [one for number in range(work.processes) for one in choices[number :: work.processes]]
        self.took_s = [seconds for process in self.processes for seconds in json.loads(process.hear())["took_s"]]

    def count(self) -> int:
        return sum(int(process.ask("count")) for process in self.processes)

    def tell(self, line: str) -> None:
        for process in self.processes:
            process.tell(line)

    def report(self) -> dict[str, Any]:
        """Everything that the processes say, added up; of lists one behind the other."""
        whole: dict[str, Any] = {}
        for process in self.processes:
            for name, value in json.loads(process.ask("stop")).items():
                if isinstance(value, dict):
                    whole[name] = whole.get(name, Counter()) + Counter(value)
                else:
                    whole[name] = whole[name] + value if name in whole else value
        return whole

    def close(self) -> None:
        for process in self.processes:
            process.close()


def measure(
    server: str, work: Work, *, process: psutil.Process, loads: Loads, publish: Callable[[], dict[str, Any]]
) -> Outcome:
    """Publish, wait for the last record, and hold what each client got against what was published."""
    before, load_before = cpu_s(process), _cpu_of(loads)
    began = time.monotonic()
    published = publish()
    by_symbol: dict[str, int] = published["by_symbol"]
    eligible = [sum(by_symbol[symbol] for symbol in symbols) for symbols in loads.order]
    delivered, at = -1, time.monotonic()
    while time.monotonic() - at < DRAIN_S_MAX:
        now = loads.count()
        if now != delivered:
            delivered, at = now, time.monotonic()
        if delivered >= sum(eligible):
            break
        time.sleep(0.1)
    used, load_used = cpu_s(process) - before, _cpu_of(loads) - load_before
    report = loads.report()
    found = zip(report["records"], report["skipped"], eligible, strict=True)
    wrong = [
        f"client {number}: {records} delivered + {skipped} skipped, expected {due}"
        for number, (records, skipped, due) in enumerate(found)
        if records + skipped != due
    ]
    return Outcome(
        server=server, work=work, delivered=sum(report["records"]), eligible=sum(eligible), wrong=wrong,
        seconds=at - began, published_s=published["seconds"], cpu_s=used, load_cpu_s=load_used,
        frames=report["frames"], bytes=report["bytes"],
        ages_us=_counted(report["ages_us"]), unread_us=_counted(report["unread_us"]), notices=report["notices"],
    )  # fmt: skip


def _counted(steps: dict[str, int]) -> Counter[int]:
    return Counter({int(step): count for step, count in steps.items()})


def _cpu_of(loads: Loads) -> float:
    return sum(cpu_s(psutil.Process(one.process.pid)) for one in loads.processes)
