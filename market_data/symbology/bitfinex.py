"""Bitfinex spot and derivatives.

A spot symbol is six letters, three of base and three of quote, or `BASE-QUOTE` where a name is longer; there is no
`t` prefix. Bitfinex' own codes become the usual names, in the base and in the key: UST is USDT (TerraUSD is
`TERRAUST`), UDC is USDC, MNA is MANA. A code keeps its form where what it stands for has changed since (LUNA and LUNA2,
EDO, REP, YGG, SCR, DAD, BCHABC), or where it was traded beside another code of the same coin for some days (BCHN beside
BAB): a key says the same on every day and belongs to one symbol. Derivatives are perpetuals `BTCF0-USTF0`: `F0` is
dropped; linear, settled in the quote. Source: docs.tardis.dev, "Historical data details": Bitfinex, Bitfinex
Derivatives; the codes: docs.bitfinex.com, "Configs", `pub:map:currency:sym` of several years, and the table of common
currencies in ccxt.
"""

from __future__ import annotations

from market_data.model.instruments import PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import contract, spot_pair

_NAMES = """
UST=USDT UDC=USDC TSD=TUSD GSD=GUSD USK=USDK EUS=EURS EUT=EURT XCH=XCHF WBT=WBTC RBT=RBTC LBT=LBTC BAB=BCH
ABS=ABYSS AIO=AION ALG=ALGO AMP=AMPL ATM=ATMI ATO=ATOM CSX=CS CTX=CTXC DAT=DATA DOG=MDOGE DRN=DRGN DSH=DASH DTX=DT
IDX=ID IOS=IOST IOT=IOTA IQX=IQ MIT=MITH MNA=MANA NCA=NCASH OMN=OMNI PAS=PASS POY=POLY QSH=QASH QTM=QTUM SEE=SEER
SNG=SNGLS SPK=SPANK STJ=STORJ UTN=UTNP VSY=VSYS WAX=WAXP YYW=YOYOW ZBT=ZB
"""
CODES = dict(pair.split("=") for pair in _NAMES.split())
_CODE_LENGTH = 3
_SUFFIX = "F0"


def parse_spot(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCUSD` -> BTC-USD, `BTCUST` -> BTC-USDT, `MATIC-BTC` -> MATIC-BTC."""
    base, separator, quote = vendor_symbol.partition("-")
    if not separator and len(vendor_symbol) == 2 * _CODE_LENGTH:
        base, quote = vendor_symbol[:_CODE_LENGTH], vendor_symbol[_CODE_LENGTH:]
    elif len(base) == len(quote) == _CODE_LENGTH:
        return None  # such a pair is written without separator
    return spot_pair(CODES.get(base, base), CODES.get(quote, quote)) if instrument_type == SPOT_PAIR else None


def parse_derivative(vendor_symbol: str, instrument_type: str) -> ParsedSymbol | None:
    """`BTCF0-USTF0` -> BTC-USDT."""
    base, _, quote = vendor_symbol.partition("-")
    if not (base.endswith(_SUFFIX) and quote.endswith(_SUFFIX) and instrument_type == PERPETUAL):
        return None
    base, quote = base.removesuffix(_SUFFIX), quote.removesuffix(_SUFFIX)
    base, quote = CODES.get(base, base), CODES.get(quote, quote)
    return contract(base, quote, quote, "base")
