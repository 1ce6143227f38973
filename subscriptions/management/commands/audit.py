"""Verifies the audit trail: `manage.py audit verify`."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from subscriptions.audit import ChainBroken, verify


class Command(BaseCommand):
    help = "Verifies that no row of the audit trail was changed, removed or put in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["verify"])

    def handle(self, *args: object, **options: object) -> None:
        try:
            count = verify()
        except ChainBroken as error:
            raise CommandError(f"the audit trail is broken: {error}") from error
        self.stdout.write(f"audit trail whole: {count} entries")
