"""How many of an asset one unit of a base is: venues list cheap assets by the thousand, as 1000PEPE or kPEPE.

A base of that kind is an asset of its own in keys (`1000PEPE-USDT`). Source: the vendor's symbols of each venue
(docs.tardis.dev, "Historical data details"); Hyperliquid's documentation for its `k`.
"""

from __future__ import annotations

import re

_BEFORE = re.compile(r"(10{3,9})([A-Z$][A-Z0-9]*)")  # 1000PEPE, 1000X (of X Empire); 1INCH and 100 are names
_BEHIND = re.compile(r"([A-Z][A-Z0-9]*?[A-Z])(10{3,9})")  # SHIB1000
# Other names begin with 1M, M and K too.
_NAMED = {
    **dict.fromkeys(("1MBABYDOGE", "1MCHEEMS", "MBABYDOGE"), 1_000_000),
    **dict.fromkeys(("KBONK", "KBTT", "KDOGS", "KFLOKI", "KLUNC", "KNEIRO", "KPEPE", "KSHIB", "KSOS"), 1000),
}
# File names are upper case: Hyperliquid's `kPEPE` and `KAITO` both begin with a K. What is in no table is not known.
_HYPERLIQUID_NAMES = {"KAITO", "KAS"}


def unit_multiple_of(venue: str, base: str | None) -> int | None:
    """Return how many of the asset one unit of a base is, 1 for the asset itself, None where that is not known."""
    if base is None:
        return None
    if base in _NAMED:
        return _NAMED[base]
    if venue == "HYPERLIQUID" and base.startswith("K") and base not in _HYPERLIQUID_NAMES:
        return None
    if match := _BEFORE.fullmatch(base):
        return int(match[1])
    match = _BEHIND.fullmatch(base)
    return int(match[2]) if match else 1
