"""How many of an asset one unit of a base is: venues list cheap assets by the thousand, as 1000PEPE or kPEPE.

A base of that kind is an asset of its own in keys (`1000PEPE-USDT`). Source: the vendor's symbols of each venue
(docs.tardis.dev, "Historical data details"); Hyperliquid's documentation for its `k`.
"""

from __future__ import annotations

import re

_BEFORE = re.compile(r"(10{3,9})([A-Z$]{2,}[A-Z0-9]*)")  # 1000PEPE; 1INCH, 1000X and 100 are names
_BEHIND = re.compile(r"([A-Z][A-Z0-9]*?[A-Z])(10{3,9})")  # SHIB1000
# A million; other names begin with 1M too.
_MILLIONS = {"1MBABYDOGE", "1MCHEEMS"}
# File names are upper case: `kPEPE` and `KAITO` both begin with a K. What is in neither table is not known.
_HYPERLIQUID_THOUSANDS = {"KBONK", "KDOGS", "KFLOKI", "KLUNC", "KNEIRO", "KPEPE", "KSHIB"}
_HYPERLIQUID_NAMES = {"KAITO", "KAS"}


def unit_multiple_of(venue: str, base: str | None) -> int | None:
    """Return how many of the asset one unit of a base is, 1 for the asset itself, None where that is not known."""
    if base is None:
        return None
    if venue == "HYPERLIQUID" and base.startswith("K") and base not in _HYPERLIQUID_NAMES:
        return 1000 if base in _HYPERLIQUID_THOUSANDS else None
    if base in _MILLIONS:
        return 1_000_000
    if match := _BEFORE.fullmatch(base):
        return int(match[1])
    match = _BEHIND.fullmatch(base)
    return int(match[2]) if match else 1
