"""Writes heartbeats into a site's database once a second until it is killed: python heartbeats.py (in the site)."""

from __future__ import annotations

import time

import django


def main() -> None:
    django.setup()
    from tests.portal.conftest import beat

    second = 1
    while True:
        beat(factor=second)
        second += 1
        time.sleep(1)


if __name__ == "__main__":
    main()
