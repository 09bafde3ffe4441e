"""Venues whose symbols are plain spot pairs: dashed, underscored, without separator, or quote first.

Dashed (`BTC-USD`, API `BTC/USD` on some): Blockchain.com, Coinbase, FTX US, KuCoin, OKCoin, OKX, Serum, Star Atlas.
Underscored (`BTC_USDT`): Gate.io. Quote first (`KRW-BTC`): Upbit. Without separator, split by the quotes the venue
has listed: Aster, Bitstamp, HitBTC, MEXC. HitBTC lists USD, TUSD, BUSD and GUSD: the rarer ones are known for the
bases that had them, so `BATUSD` stays BAT-USD. Source: docs.tardis.dev, "Historical data details": the page of each
venue.
"""

from __future__ import annotations

from market_data.model.instruments import SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import spot_pair
from market_data.symbology.quotes import quotes_of, split_pair

_ASTER_QUOTES = quotes_of("USDT USDC USD1 USDF BTC ETH BNB")
_BITSTAMP_QUOTES = quotes_of("USD EUR GBP BTC ETH USDT USDC PAX RLUSD EURC")
_HITBTC_QUOTES = quotes_of(
    "USD TUSD BUSD GUSD USDT USDC BTC ETH BCH EOS CRO TRX DAI PAX EURS EUR GBP KRWB BRL",
    only={"TUSD": "BTC ETH LTC XRP", "BUSD": "BTC ETH", "GUSD": "BTC ETH USDT"},
)
_MEXC_QUOTES = quotes_of("USDT USDC USDE USD1 USDF TUSD BTC ETH EUR BRL TRY")


def parse_dashed(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTC-USD` -> BTC-USD."""
    base, _, quote = vendor_symbol.partition("-")
    return spot_pair(base, quote) if instrument_type == SPOT_PAIR else None


def parse_underscored(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`TLOS_BTC` -> TLOS-BTC."""
    base, _, quote = vendor_symbol.partition("_")
    return spot_pair(base, quote) if instrument_type == SPOT_PAIR else None


def parse_upbit(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`KRW-BTC` -> BTC-KRW: Upbit writes the quote first."""
    quote, _, base = vendor_symbol.partition("-")
    return spot_pair(base, quote) if instrument_type == SPOT_PAIR else None


def parse_aster(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCUSDT` -> BTC-USDT."""
    split = split_pair(vendor_symbol, _ASTER_QUOTES)
    return spot_pair(*split) if split and instrument_type == SPOT_PAIR else None


def parse_bitstamp(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`RLUSDUSD` -> RLUSD-USD, `XRPRLUSD` -> XRP-RLUSD."""
    split = split_pair(vendor_symbol, _BITSTAMP_QUOTES)
    return spot_pair(*split) if split and instrument_type == SPOT_PAIR else None


def parse_hitbtc(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCTUSD` -> BTC-TUSD, `BATUSD` -> BAT-USD."""
    split = split_pair(vendor_symbol, _HITBTC_QUOTES)
    return spot_pair(*split) if split and instrument_type == SPOT_PAIR else None


def parse_mexc(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCUSDT` -> BTC-USDT [U: the form is the venue's own]."""
    split = split_pair(vendor_symbol, _MEXC_QUOTES)
    return spot_pair(*split) if split and instrument_type == SPOT_PAIR else None
