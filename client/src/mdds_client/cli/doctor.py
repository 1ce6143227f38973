"""`mdds doctor`: goes the way to the data step by step and says, where a step fails, what to do."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import AsyncIterator

from rich.console import Console
from rich.text import Text

from mdds_client.cli.doctor_network import network_findings
from mdds_client.cli.doctor_service import service_findings
from mdds_client.cli.exit_codes import AUTH, CONNECTION, DONE, printable
from mdds_client.cli.findings import Finding, Verdict
from mdds_client.errors import AuthFailed, BadParam
from mdds_client.settings import Settings, client_settings

_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red", Verdict.SKIP: "dim"}


class Doctor:
    """Prints each finding as soon as it is there; ends with the exit code of the first failure."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._console = Console(highlight=False)

    async def run(self) -> int:
        code = DONE
        found: list[Finding] = []
        async for finding in self._findings():
            found.append(finding)
            if finding.verdict is Verdict.FAIL and code == DONE:
                code = finding.exit_code
            if not self._arguments.json:
                self._print(finding)
        if self._arguments.json:
            sys.stdout.write(json.dumps([finding.members() for finding in found], ensure_ascii=False) + "\n")
        elif code == DONE:
            self._console.print("all well")
        return code

    async def _findings(self) -> AsyncIterator[Finding]:
        try:
            settings = client_settings(self._arguments.url, self._arguments.key, options={"exact": True})
        except BadParam as error:
            yield Finding.fail("settings", error.message, "correct MDDS_URL or --url", exit_code=CONNECTION)
            return
        except AuthFailed as error:
            yield Finding.fail("settings", error.message, "copy the key again: MDDS_API_KEY or --key", exit_code=AUTH)
            return
        yield _settings_finding(settings)
        connected = False
        async for finding in network_findings(settings):
            connected = finding.verdict is not Verdict.FAIL
            yield finding
        if not connected:
            yield Finding.skip("service", "no connection to ask on")
            return
        wanted = (tuple(self._arguments.channels or ("depth",)), tuple(self._arguments.symbols))
        async for finding in service_findings(settings, *wanted, wait_s=self._arguments.wait):
            yield finding

    def _print(self, finding: Finding) -> None:
        line = Text()
        line.append(f"{finding.verdict.value:<5}", _STYLES[finding.verdict])
        line.append(f"{finding.check:<12}", "bold")
        line.append(printable(finding.text))
        self._console.print(line, soft_wrap=True)
        if finding.advice:
            self._console.print(Text(f"{'':17}→ {printable(finding.advice)}"), soft_wrap=True)


def _settings_finding(settings: Settings) -> Finding:
    if settings.api_key is None:
        return Finding.warn(
            "settings", f"{settings.url}, no key", "public channels only; set MDDS_API_KEY for everything else"
        )
    shown = settings.api_key[:18] + "…" if settings.api_key.startswith("mdds_live_") else "a token"
    return Finding.ok("settings", f"{settings.url}, key {shown}")
