"""Binance spot, USD-margined futures and coin-margined futures.

Spot symbols have no separator and are split by the quotes Binance has ever listed. Dated contracts end in `_YYMMDD`,
08:00 UTC. Leading digits (`1000SHIB`, `1INCH`) belong to the base.
"""

from __future__ import annotations

from market_data.domain.instruments import FUTURE, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.domain.symbology.grammar import parse_yymmdd, split_quote

_SPOT_QUOTES = tuple(
    """
    USDT USDC FDUSD BUSD TUSD USDP PAX USDS USDSB USD1 USDE XUSD BFUSD RLUSD U DAI UST VAI EURI AEUR
    BTC ETH BNB XRP TRX DOGE DOT SOL EUR GBP TRY RUB AUD BRL NGN UAH ZAR PLN RON ARS JPY MXN COP CZK IDRT BIDR BKRW BVND
    """.split()
)
_LINEAR_QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "USD1", "BTC")


def parse_spot(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCUSDT` -> BTC-USDT; amounts are in the base asset."""
    split = split_quote(vendor_symbol, _SPOT_QUOTES)
    if split is None or instrument_type != SPOT_PAIR:
        return None
    base, quote = split
    return ParsedSymbol(f"{base}-{quote}", base, quote, None, is_inverse=None, amount_unit="base")


def parse_linear(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`1000SHIBUSDT` -> 1000SHIB-USDT, `BTCUSDT_240329` -> BTC-USDT-240329; settled in the quote, amounts in base."""
    pair, _, suffix = vendor_symbol.partition("_")
    split = split_quote(pair, _LINEAR_QUOTES)
    if split is None:
        return None
    base, quote = split
    symbol = f"{base}-{quote}"
    if not suffix and instrument_type == PERPETUAL:
        return ParsedSymbol(symbol, base, quote, quote, is_inverse=False, amount_unit="base")
    expiry = parse_yymmdd(suffix)
    if expiry is None or instrument_type != FUTURE:
        return None
    return ParsedSymbol(f"{symbol}-{suffix}", base, quote, quote, is_inverse=False, amount_unit="base", expiry=expiry)


def parse_inverse(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCUSD_PERP` -> BTC-USD, `BTCUSD_200925` -> BTC-USD-200925; settled in the base, amounts in contracts."""
    pair, _, suffix = vendor_symbol.partition("_")
    split = split_quote(pair, ("USD",))
    if split is None:
        return None
    base, quote = split
    symbol = f"{base}-{quote}"
    if suffix == "PERP" and instrument_type == PERPETUAL:
        return ParsedSymbol(symbol, base, quote, base, is_inverse=True, amount_unit="contracts")
    expiry = parse_yymmdd(suffix)
    if expiry is None or instrument_type != FUTURE:
        return None
    return ParsedSymbol(
        f"{symbol}-{suffix}", base, quote, base, is_inverse=True, amount_unit="contracts", expiry=expiry
    )
