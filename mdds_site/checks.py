"""System checks that report every bad environment variable by name, value and what was expected."""

import sys
from collections.abc import Sequence

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from mdds_site.env import MddsSettings, Problem


@register(Tags.security)
def environment(app_configs: Sequence[AppConfig] | None, **_: object) -> list[CheckMessage]:
    problems: Sequence[Problem] = settings.MDDS_PROBLEMS
    found: list[CheckMessage] = [
        Error(
            f"{problem.variable} is {problem.found!r}.",
            hint=f"Expected {problem.expected}.",
            obj=f"environment variable {problem.variable}",
            id=f"mdds.E{number:03}",
        )
        for number, problem in enumerate(problems, start=1)
    ]
    return found


@register(Tags.compatibility)
def combination(app_configs: Sequence[AppConfig] | None, **_: object) -> list[CheckMessage]:
    """Settings that are each fine but lose notices together."""
    mdds: MddsSettings = settings.MDDS
    if mdds.embedded or mdds.redis_url:
        return []
    return [
        Warning(
            "MDDS_BUS names a broker but MDDS_REDIS is empty: notices do not reach other processes.",
            hint="Set MDDS_REDIS=redis://host:port; without it a revoked key is seen by the periodic recheck only.",
            obj="environment variable MDDS_REDIS",
            id="mdds.W001",
        )
    ]


def refuse_to_start() -> None:
    """For entry points without system checks (ASGI server, Celery): prints the problems and exits with 1."""
    problems: Sequence[Problem] = settings.MDDS_PROBLEMS
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        print(f"MDDS cannot start, {len(problems)} bad setting(s):\n{lines}", file=sys.stderr)
        raise SystemExit(1)
