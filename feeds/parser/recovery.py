"""Merges a recovery snapshot (W) into what is known of a symbol's statistics: it does not say everything."""

from __future__ import annotations

import re

_LAST = re.compile(r',"c":([^,]+)')
_VOLUME = re.compile(r',"vol":(\d+)')
UNKNOWN_LAST = ',"c":null'


def merged(known: str, recovered: str) -> str:
    """The fragment after a W. A last price it leaves out is the known one as long as the volume is the same: then
    nothing traded that nobody saw. A closing price known with its type stays."""
    if known.startswith(f"{recovered},"):
        return known
    if UNKNOWN_LAST not in recovered:
        return recovered
    before, after, last = _VOLUME.search(known), _VOLUME.search(recovered), _LAST.search(known)
    if before is None or after is None or last is None or before[1] != after[1]:
        return recovered
    return recovered.replace(UNKNOWN_LAST, last[0], 1)
