"""Phemex: spot pairs marked with a leading S, and perpetuals.

`SBTCUSDT` (API `sBTCUSDT`) is spot BTC-USDT: the S is a marker, not part of the base. Perpetuals on USDT and USDC are
linear. On USD: `BTCUSD` is inverse, every other bare symbol is linear and settled in USD. The venue marks the second
contract on a pair with a letter, which the key spells as its margin: `UBTCUSD` (API `uBTCUSD`) is BTC-USD@USD,
`CETHUSD` (API `cETHUSD`, inverse) is ETH-USD@ETH. File names are upper case, so `C…` is a marker only before the
coins known to have it (`COMPUSD` is COMP), and `U…` only there and before a digit [U]. Amounts are in base, on USD in
contracts (the vendor's client passes their numbers on). Source: docs.tardis.dev, "Historical data details": Phemex.
"""

from __future__ import annotations

from market_data.model.instruments import PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import contract, spot_pair
from market_data.symbology.quotes import quotes_of, split_pair

_SPOT_QUOTES = quotes_of("USDT USDC BTC ETH USD EUR TRY BRL")
_PERPETUAL_QUOTES = quotes_of("USDT USDC USD")
_COIN_MARGINED = frozenset(
    f"C{coin}" for coin in "ETH XRP ADA LTC DOT SOL LINK DOGE BCH BNB EOS UNI ATOM MATIC AVAX XTZ TRX".split()
)


def parse(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`SBTCUSDT` -> BTC-USDT (spot), `BTCUSD` -> BTC-USD, `UBTCUSD` -> BTC-USD@USD."""
    if instrument_type == SPOT_PAIR:
        split = split_pair(vendor_symbol[1:], _SPOT_QUOTES)
        return spot_pair(*split) if split and vendor_symbol.startswith("S") else None
    split = split_pair(vendor_symbol, _PERPETUAL_QUOTES)
    if split is None or instrument_type != PERPETUAL:
        return None
    base, quote = split
    if quote != "USD":
        return contract(base, quote, quote, "base")
    if base in _COIN_MARGINED:
        return contract(base[1:], quote, base[1:], "contracts", margin=base[1:])
    if base == "UBTC" or (base[0] == "U" and base[1:2].isascii() and base[1:2].isdigit()):
        return contract(base[1:], quote, quote, "contracts", margin=quote)
    return contract(base, quote, base if base == "BTC" else quote, "contracts")
