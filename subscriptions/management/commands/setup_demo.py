"""Sets up the demo: rows, an operator and a key, kept in demo.json so that every start prints the same ones."""

import json
import os
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from feeds.checks import START_CHECKS
from feeds.config import LINE_NAMES
from subscriptions import demo

OPERATOR = "demo"


class Command(BaseCommand):
    requires_system_checks = START_CHECKS
    help = "Sets up the demo's exchange, feeds, instruments, products, subscriber, operator and key. May be run again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--unicast",
            action="store_true",
            help="lines are plain UDP ports of 127.0.0.1, for a machine without multicast",
        )
        parser.add_argument(
            "--no-instruments",
            action="store_false",
            dest="instruments",
            help="without those of the simulated exchange; they are learnt from the definitions that come",
        )

    def handle(self, *args: object, **options: Any) -> None:
        mdds = settings.MDDS
        path = mdds.data_dir / "demo.json"
        kept = _read(path)
        unicast = bool(options["unicast"])
        addresses = [
            ("127.0.0.1" if unicast else mdds.line_group(index), mdds.line_port(index), "127.0.0.1")
            for index in range(len(demo.FEEDS) * len(LINE_NAMES))
        ]
        lines = {"base_port": mdds.base_port, "unicast": unicast}
        password = kept.get("password") or secrets.token_urlsafe(12)
        with transaction.atomic():
            # Lines an operator edited stay, until the base port or the kind of line is another.
            demo.feeds(addresses, replace_lines="lines" in kept and kept["lines"] != lines)
            if options["instruments"]:
                demo.instruments()
            key = demo.key(demo.subscriber(), kept.get("key"), site_secret=settings.SECRET_KEY, now=timezone.now())
            shown = _operator(password)
            _write(path, {"user": OPERATOR, "password": password, "key": key, "lines": lines})
        self.stdout.write(f"login: {OPERATOR} {shown}")
        self.stdout.write(f"key: {key}")


def _operator(password: str) -> str:
    """Makes the operator when there is none; returns the password to print."""
    user = User.objects.filter(username=OPERATOR).first()
    if user is None:
        User.objects.create_superuser(OPERATOR, password=password)
    elif not user.check_password(password):
        return "(changed)"
    return password


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CommandError(f"{path} is not JSON ({error}); remove it to start with a new key") from error
    return kept if isinstance(kept, dict) else {}


def _write(path: Path, kept: dict[str, Any]) -> None:
    """Whole or not at all, and readable by this user only."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(kept, file, indent=1)
    draft.replace(path)
