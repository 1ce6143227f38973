"""What `mdds doctor` found in one step, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mdds_client.cli.exit_codes import FAILED


class Verdict(Enum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: the step, what was seen, and the advice where it is not as it should be."""

    check: str
    verdict: Verdict
    text: str
    advice: str = ""
    exit_code: int = FAILED

    @classmethod
    def ok(cls, check: str, text: str) -> Finding:
        return cls(check, Verdict.OK, text)

    @classmethod
    def warn(cls, check: str, text: str, advice: str) -> Finding:
        return cls(check, Verdict.WARN, text, advice)

    @classmethod
    def fail(cls, check: str, text: str, advice: str, *, exit_code: int = FAILED) -> Finding:
        return cls(check, Verdict.FAIL, text, advice, exit_code)

    @classmethod
    def skip(cls, check: str, text: str) -> Finding:
        return cls(check, Verdict.SKIP, text)

    def members(self) -> dict[str, str]:
        return {"check": self.check, "verdict": self.verdict.value, "text": self.text, "advice": self.advice}
