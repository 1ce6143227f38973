"""Builds ISINs (ISO 6166): country, nine characters, check digit."""

BODY_LENGTH = 9


def check_digit(first_eleven: str) -> int:
    """The Luhn digit over the characters' values (A = 10 ... Z = 35), as in VN000000AGR5."""
    digits = "".join(str(int(character, 36)) for character in first_eleven)
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += doubled // 10 + doubled % 10
    return -total % 10


def isin_of(code: str, *, country: str = "VN") -> str:
    """The ISIN of a ticker or contract code, filled with zeros on the left as the exchange's depository does."""
    if not 1 <= len(code) <= BODY_LENGTH:
        raise ValueError(f"a code of 1 to {BODY_LENGTH} characters expected, found {code!r}")
    first_eleven = country + code.rjust(BODY_LENGTH, "0")
    return f"{first_eleven}{check_digit(first_eleven)}"
