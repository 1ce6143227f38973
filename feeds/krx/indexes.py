"""Index names: IndexsTypeCode 30167 per market (krx_mdds, Codes)."""

from __future__ import annotations

_STO = {
    "001": "VNINDEX",
    "101": "VN30",
    "102": "VNMIDCAP",
    "103": "VNSMALLCAP",
    "104": "VN100",
    "105": "VNALLSHARE",
    "151": "VNXALLSHARE",
    "152": "VNX50",
    "501": "DIAMOND",
    "502": "FINSELECT",
    "503": "FINLEAD",
    "504": "VNMITECH",
    "505": "VN50GROWTH",
    "506": "VNDIVIDEND",
}
NAMES = {
    **{("STO", code): name for code, name in _STO.items()},
    ("STX", "002"): "HNXINDEX",
    ("STX", "100"): "HNX30",
    ("UPX", "301"): "HNXUPCOMINDEX",
}


def index_name(market: str, code: str) -> str:
    """`VNINDEX`, or `STO.301` for an index without a name of its own."""
    return NAMES.get((market, code), f"{market}.{code}")
