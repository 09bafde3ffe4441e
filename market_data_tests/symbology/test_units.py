"""In what prices and amounts of instruments are counted; sources as in the parsers, and each venue's contract terms."""

from __future__ import annotations

from datetime import date

import pytest

from market_data.model.instruments import CONTRACT_KINDS, SPOT_PAIR
from market_data.model.venues import VENUES
from market_data.symbology import parse_symbol
from market_data.symbology.multiples import unit_multiple_of
from market_data_tests.symbology.test_symbology_examples import GOLDEN, Row

# venue, type, vendor symbol, price currency, amount unit, kind, units of the asset in one of base; - is not known
UNITS = """
BINANCE SPOT_PAIR ETHBTC BTC base - 1
BINANCE SPOT_PAIR 1000SATSUSDT USDT base - 1000
BINANCE SPOT_PAIR 1INCHUSDT USDT base - 1
BINANCE SPOT_PAIR 1MBABYDOGEUSDT USDT base - 1000000
BINANCE-FUTURES PERPETUAL 1000PEPEUSDT USDT base linear 1000
BINANCE-FUTURES PERPETUAL 1000000MOGUSDT USDT base linear 1000000
BINANCE-FUTURES PERPETUAL 1000XUSDT USDT base linear 1000
FTX PERPETUAL KSHIB-PERP USD base linear 1000
PHEMEX PERPETUAL ETHUSD USD contracts linear 1
PHEMEX PERPETUAL UBTCUSD USD contracts linear 1
PHEMEX PERPETUAL ETHUSDT USDT base linear 1
BINANCE-DELIVERY PERPETUAL BTCUSD_PERP USD contracts inverse 1
BINANCE-DELIVERY FUTURE ETHUSD_240927 USD contracts inverse 1
BINANCE-EUROPEAN-OPTIONS OPTION BTC-251219-90000-C USDT contracts linear 1
DERIBIT PERPETUAL BTC-PERPETUAL USD quote inverse 1
DERIBIT FUTURE BTC-27SEP24 USD quote inverse 1
DERIBIT PERPETUAL SOL_USDC-PERPETUAL USDC base linear 1
DERIBIT OPTION BTC-27SEP24-60000-C BTC base inverse 1
DERIBIT OPTION ETH-27SEP24-3000-P ETH base inverse 1
DERIBIT OPTION SOL_USDC-27SEP24-150-C USDC base linear 1
DERIBIT COMBO BTC-FS-27SEP24_PERP - - - 1
OKX-OPTIONS OPTION BTC-USD-240927-60000-C BTC contracts inverse 1
OKX-SWAP PERPETUAL BTC-USD-SWAP USD contracts inverse 1
OKX-SWAP PERPETUAL BTC-USDT-SWAP USDT contracts linear 1
BYBIT PERPETUAL BTCUSD USD quote inverse 1
BYBIT PERPETUAL SHIB1000USDT USDT base linear 1000
BYBIT PERPETUAL 10000LADYSUSDT USDT base linear 10000
BYBIT-OPTIONS OPTION BTC-27SEP24-60000-C USDC base linear 1
BITMEX PERPETUAL XBTUSD USD contracts inverse 1
BITMEX PERPETUAL ETHUSD USD contracts quanto 1
BITMEX PERPETUAL ETHUSD_ETH USD contracts inverse 1
BITMEX FUTURE ETHM19 BTC contracts linear 1
BITMEX PERPETUAL XBTUSDT USDT contracts - 1
DELTA OPTION C-BTC-27700-010423 - contracts - 1
DELTA PERPETUAL BTCUSD USD contracts - 1
DYDX PERPETUAL BTC-USD USD base linear 1
GATE-IO-FUTURES PERPETUAL BTC_USD USD contracts inverse 1
GATE-IO-FUTURES PERPETUAL ETH_USD USD contracts quanto 1
HYPERLIQUID PERPETUAL KPEPE USDC base linear 1000
HYPERLIQUID PERPETUAL KAITO USDC base linear 1
HYPERLIQUID PERPETUAL KNEWCOIN USDC base linear -
HUOBI-DM FUTURE BTC_CW USD contracts inverse 1
HUOBI-DM-OPTIONS OPTION BTC-USDT-210625-C-87000 USDT contracts linear 1
PHEMEX PERPETUAL BTCUSD USD contracts inverse 1
COINFLEX PERPETUAL BTC-USD-SWAP-LIN USD - linear 1
LIGHTER PERPETUAL 17 - - - -
"""


@pytest.mark.parametrize("line", UNITS.strip().splitlines(), ids=lambda line: " ".join(line.split()[:3]))
def test_prices_and_amounts_are_counted_as_the_venue_counts_them(line: str) -> None:
    venue, kind, symbol, *expected = line.split()
    # BitMEX' contracts on USDT of before November 2021 were quanto
    parsed, _ = parse_symbol(venue, kind, symbol, date(2021, 1, 1), date(2024, 1, 1))
    found = (parsed.price_currency, parsed.amount_unit, parsed.contract_kind, unit_multiple_of(venue, parsed.base))
    assert [str(item) if item is not None else "-" for item in found] == expected


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: f"{row.venue}-{row.vendor_symbol}")
def test_units_of_every_form_of_symbol_agree_with_each_other(row: Row) -> None:
    parsed, _ = parse_symbol(row.venue, row.instrument_type, row.vendor_symbol)
    assert parsed.contract_kind in {None, *CONTRACT_KINDS}
    assert (parsed.contract_kind == "inverse") == (parsed.is_inverse is True)
    assert parsed.amount_unit in {None, "base", "quote", "contracts"}
    if row.instrument_type == SPOT_PAIR:
        assert (parsed.contract_kind, parsed.price_currency) == (None, parsed.quote)
    if parsed.price_currency not in {None, parsed.quote}:  # a premium in the coin
        assert (row.instrument_type, parsed.price_currency) == ("OPTION", parsed.base)


def test_no_base_has_two_multiples_but_where_a_venue_spells_it_so() -> None:
    bases = {"BTC", "1000PEPE", "PEPE1000", "KPEPE", "1000X", "100", "C98", "B2", "1INCH", "$1000", "1000"}
    assert {base: unit_multiple_of(venue, base) for venue in VENUES if venue != "HYPERLIQUID" for base in bases} == {
        "BTC": 1,
        "1000PEPE": 1000,
        "PEPE1000": 1000,
        "KPEPE": 1000,
        "1000X": 1000,
        "100": 1,
        "C98": 1,
        "B2": 1,
        "1INCH": 1,
        "$1000": 1,
        "1000": 1,
    }
