"""Scrapes a Prometheus port over HTTP: the samples of MDDS's own metrics by name and labels."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from testbed.system import System

GATEWAY_OFFSET = 20 + 4 * 8  # of the base port: the embedded process takes the gateway's metrics port


@dataclass(frozen=True)
class Scrape:
    """`samples`: (name, sorted labels) → value. `families`: name as it is written → help text."""

    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float]
    families: dict[str, str]

    def value(self, name: str, **labels: str) -> float:
        """One sample; 0 for one that a counter by label has not had yet."""
        return self.samples.get((name, tuple(sorted(labels.items()))), 0.0)

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """A metric's values by one label, without zeros."""
        found = {dict(labels)[label]: value for (other, labels), value in self.samples.items() if other == name}
        return {label: value for label, value in found.items() if value}


def scrape(system: System) -> Scrape:
    """The metrics port of an embedded system."""
    return scrape_url(f"http://127.0.0.1:{system.base_port + GATEWAY_OFFSET}/metrics")


def scrape_url(url: str) -> Scrape:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    samples, families = {}, {}
    for family in text_string_to_metric_families(text):
        if not family.name.startswith("mdds_") or family.name.endswith("_created"):
            continue  # Python's and Django's own, and the client library's creation times
        families[f"{family.name}_total" if family.type == "counter" else family.name] = family.documentation
        for sample in family.samples:
            samples[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return Scrape({key: value for key, value in samples.items() if not key[0].endswith("_created")}, families)
