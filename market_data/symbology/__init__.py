"""Vendor symbol -> instrument: one small parser for each venue family.

A parser is a pure function of the vendor symbol in file-name form and the instrument type; a few, whose venue reused
or renamed its ids, also look at the first and last day with files of that symbol. It returns None for what it does
not know; the symbol then keeps the vendor's form. Source: docs.tardis.dev, "Historical data details", and the venues'
own contract specifications; `[U]` marks what neither confirms.

Rules of all parsers:

- A key holds `BASE-QUOTE`, then `@ASSET` where the vendor's own symbol spells the margin that sets it apart from
  another contract on the same pair (`BTC-USD_UM-…`, `ETHUSD_ETH`, `PF_…`): a rule of the venue, never of what else is
  listed.
- An option's quote is the currency of its strike.
- What is not a fixed contract (rolling aliases, combos, index numbers) keeps the vendor's form in its key; what is
  known of it is filled in all the same.
- Two spellings of one asset (`XBT`, `BTC`) give one key: a renamed pair stays one series. Where a
  venue lists both at once, the one listed first has that key, the other its vendor's form (`universe/listing`).
- Symbols without separator are split by the quotes the venue has listed, and by static tables where one of these ends
  in another (`quotes`). A new quote in a table renames the keys that end in it: it belongs there from the first day of
  that quote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from market_data.model.instruments import KeySource, ParsedSymbol, unparsed_symbol
from market_data.symbology import (
    binance,
    bitfinex,
    bitget,
    bitmex,
    bullish,
    bybit,
    coinflex,
    crypto_com,
    delta,
    deribit,
    ftx,
    gemini,
    grammar,
    huobi,
    kraken,
    kucoin,
    okex,
    pairs,
    phemex,
    poloniex,
    swaps,
)

SymbolParser = Callable[[str, str], ParsedSymbol | None]
# (vendor symbol, instrument type, first day with files, last day with files)
AvailabilityParser = Callable[[str, str, date | None, date | None], ParsedSymbol | None]

_PARSERS: dict[str, SymbolParser] = {
    "ASCENDEX": swaps.parse_ascendex,
    "ASTER": pairs.parse_aster,
    "ASTER-FUTURES": binance.parse_linear,
    "BINANCE": binance.parse_spot,
    "BINANCE-DELIVERY": binance.parse_inverse,
    "BINANCE-DEX": binance.parse_dex,
    "BINANCE-EUROPEAN-OPTIONS": binance.parse_option,
    "BINANCE-FUTURES": binance.parse_linear,
    "BINANCE-JERSEY": binance.parse_jersey,
    "BINANCE-OPTIONS": binance.parse_option,
    "BINANCE-US": binance.parse_us,
    "BITFINEX": bitfinex.parse_spot,
    "BITFINEX-DERIVATIVES": bitfinex.parse_derivative,
    "BITFLYER": swaps.parse_bitflyer,
    "BITGET": bitget.parse_spot,
    "BITGET-FUTURES": bitget.parse_futures,
    "BITNOMIAL": swaps.parse_bitnomial,
    "BITSTAMP": pairs.parse_bitstamp,
    "BLOCKCHAIN-COM": pairs.parse_dashed,
    "BULLISH": bullish.parse,
    "BYBIT": bybit.parse_derivative,
    "BYBIT-OPTIONS": bybit.parse_option,
    "BYBIT-SPOT": bybit.parse_spot,
    "COINBASE": pairs.parse_dashed,
    "COINBASE-INTERNATIONAL": swaps.parse_usdc_perpetual,
    "COINFLEX": coinflex.parse,
    "CRYPTO-COM": crypto_com.parse,
    "CRYPTO-COM-DERIVATIVES": crypto_com.parse,
    "CRYPTOFACILITIES": kraken.parse_futures,
    "DERIBIT": deribit.parse,
    "DYDX": swaps.parse_dydx,
    "DYDX-V4": swaps.parse_dydx,
    "FTX-US": pairs.parse_dashed,
    "GATE-IO": pairs.parse_underscored,
    "GATE-IO-FUTURES": swaps.parse_gate_io_futures,
    "GEMINI": gemini.parse,
    "HITBTC": pairs.parse_hitbtc,
    "HUOBI": huobi.parse_spot,
    "HUOBI-DM": huobi.parse_alias,
    "HUOBI-DM-LINEAR-SWAP": huobi.parse_linear,
    "HUOBI-DM-OPTIONS": huobi.parse_option,
    "HUOBI-DM-SWAP": huobi.parse_inverse,
    "HYPERLIQUID": swaps.parse_hyperliquid,
    "KUCOIN": pairs.parse_dashed,
    "KUCOIN-FUTURES": kucoin.parse_futures,
    "MANGO": swaps.parse_usdc_perpetual,
    "MEXC": pairs.parse_mexc,
    "MEXC-FUTURES": swaps.parse_mexc_futures,
    "OKCOIN": pairs.parse_dashed,
    "OKX": pairs.parse_dashed,
    "OKX-FUTURES": okex.parse_future,
    "OKX-OPTIONS": okex.parse_option,
    "OKX-SPREADS": okex.parse_spread,
    "OKX-SWAP": okex.parse_swap,
    "PHEMEX": phemex.parse,
    "POLONIEX": poloniex.parse,
    "SERUM": pairs.parse_dashed,
    "STAR-ATLAS": pairs.parse_dashed,
    "UPBIT": pairs.parse_upbit,
    "WOO-X": swaps.parse_woo_x,
}

# Venues where the same vendor symbol means different things by the days it was listed.
_AVAILABILITY_PARSERS: dict[str, AvailabilityParser] = {
    "BITMEX": bitmex.parse,
    "DELTA": delta.parse,
    "FTX": ftx.parse,
    "KRAKEN": kraken.parse_spot,
}

# Venues whose symbols say nothing by themselves: the vendor's form is the key.
VENUES_WITHOUT_PARSER: dict[str, str] = {
    "LIGHTER": "symbols are numbers of the venue's market table (`0`, `2048`), which is not in the symbol",
    "POLYMARKET": "symbols are 76 to 78 digit token ids, which do not name the market",
}

_ASSET_CODES: dict[str, Mapping[str, str]] = {
    **dict.fromkeys(("BITMEX", "CRYPTOFACILITIES", "KRAKEN", "KUCOIN-FUTURES"), grammar.ASSET_CODES),
    **dict.fromkeys(("BITFINEX", "BITFINEX-DERIVATIVES"), bitfinex.CODES),
}

PARSED_VENUES: frozenset[str] = frozenset(_PARSERS) | frozenset(_AVAILABILITY_PARSERS)


def parse_symbol(
    venue: str,
    instrument_type: str,
    vendor_symbol: str,
    first_day: date | None = None,
    last_day: date | None = None,
) -> tuple[ParsedSymbol, KeySource]:
    """Return what a vendor symbol means on a venue, and whether a parser knew it.

    `first_day` and `last_day` are the first and last day with files of that symbol (both inclusive). Without them the
    symbols of FTX and DELTA that carry no year keep the vendor's form, so callers that make keys must give them.
    """
    if venue in _AVAILABILITY_PARSERS:
        parsed = _AVAILABILITY_PARSERS[venue](vendor_symbol, instrument_type, first_day, last_day)
    elif venue in _PARSERS:
        parsed = _PARSERS[venue](vendor_symbol, instrument_type)
    else:
        parsed = None
    if parsed is None:
        return unparsed_symbol(vendor_symbol), KeySource.VENDOR_SYMBOL
    return parsed, KeySource.SYMBOLOGY


def asset_name(venue: str, code: str) -> str:
    """Return the name that keys of a venue use for an asset the venue may call by a code of its own (`XBT`: BTC)."""
    return _ASSET_CODES.get(venue, {}).get(code, code)
