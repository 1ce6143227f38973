"""Prints one pytest summary for several JUnit files: what failed, then the counts and the time."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from xml.etree import ElementTree

WIDTH = 80


def main(began: float, files: list[Path]) -> None:
    """`began`: when the tests began, seconds since 1970."""
    counts = dict.fromkeys(("failed", "passed", "skipped", "error"), 0)
    lines: list[str] = []
    for file in files:
        try:
            cases = ElementTree.parse(file).getroot().iter("testcase")
        except (OSError, ElementTree.ParseError) as error:
            lines.append(f"ERROR {file.stem}: it wrote no result: {error}")
            counts["error"] += 1
            continue
        for case in cases:
            outcome = "passed"
            for kind, said in (("failure", "failed"), ("error", "error"), ("skipped", "skipped")):
                found = case.find(kind)
                if found is not None:
                    outcome = said
                    if said != "skipped":
                        message = (found.get("message") or "").partition("\n")[0]
                        where = f"{(case.get('classname') or '').replace('.', '/')}.py::{case.get('name')}"
                        lines.append(f"{'FAILED' if said == 'failed' else 'ERROR'} {where} - {message}"[:300])
            counts[outcome] += 1
    if lines:
        print(" short test summary info ".center(WIDTH, "="))
        print(*lines, sep="\n")
    seconds = time.time() - began
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    hours = f" ({int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02})" if seconds >= 60 else ""
    print(f" {said or 'no tests ran'} in {seconds:.2f}s{hours} ".center(WIDTH, "="))


if __name__ == "__main__":
    main(float(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
