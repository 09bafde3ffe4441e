"""Which venues have a parser, and which vendor symbols must not be confused with one another."""

from __future__ import annotations

import pytest

from market_data.model.instruments import KeySource, unparsed_symbol
from market_data.model.venues import VENUES
from market_data.symbology import PARSED_VENUES, VENUES_WITHOUT_PARSER, bitfinex, parse_symbol
from market_data_tests.symbology.test_symbology_examples import GOLDEN, GOLDEN_BY_AVAILABILITY


def test_every_venue_has_a_parser_or_a_reason_to_have_none() -> None:
    assert set(VENUES) == PARSED_VENUES | set(VENUES_WITHOUT_PARSER)
    assert not PARSED_VENUES & set(VENUES_WITHOUT_PARSER)
    assert set(VENUES_WITHOUT_PARSER) == {"LIGHTER", "POLYMARKET"}
    assert all(VENUES_WITHOUT_PARSER.values())
    assert {row.venue for row in GOLDEN + GOLDEN_BY_AVAILABILITY} == PARSED_VENUES


@pytest.mark.parametrize(
    ("venue", "instrument_type", "vendor_symbol", "symbol"),
    [
        # reference 5.1: the predecessor's parser got each of these wrong
        ("DERIBIT", "PERPETUAL", "BTC-PERPETUAL", "BTC-USD"),
        ("DERIBIT", "PERPETUAL", "BTC_USDC-PERPETUAL", "BTC-USDC"),
        ("DERIBIT", "FUTURE", "BTC-5JAN24", "BTC-USD-240105"),
        ("DERIBIT", "OPTION", "MATIC_USDC-9MAR24-1D02-C", "MATIC-USDC-240309-1.02-CALL"),
        ("DERIBIT", "COMBO", "BTC-FS-28MAR25_PERP", "BTC-FS-28MAR25_PERP"),
        ("BINANCE", "SPOT_PAIR", "1INCHUSDT", "1INCH-USDT"),
        ("BINANCE-FUTURES", "PERPETUAL", "1000SHIBUSDT", "1000SHIB-USDT"),
        ("BYBIT", "PERPETUAL", "10000LADYSUSDT", "10000LADYS-USDT"),
        ("BINANCE", "SPOT_PAIR", "1000SATSUSDT", "1000SATS-USDT"),
        ("BYBIT", "PERPETUAL", "SHIB1000USDT", "SHIB1000-USDT"),
        ("BINANCE", "SPOT_PAIR", "ETHBTC", "ETH-BTC"),
        ("BYBIT-SPOT", "SPOT_PAIR", "BITBTC", "BIT-BTC"),
        ("BINANCE", "SPOT_PAIR", "BTCFDUSD", "BTC-FDUSD"),
        ("BINANCE-FUTURES", "PERPETUAL", "币安人生USDT", "币安人生-USDT"),
        ("BYBIT", "PERPETUAL", "BTCPERP", "BTC-USDC"),
        ("BYBIT", "FUTURE", "BTCUSDM21", "BTC-USD-210625"),
        ("BYBIT", "FUTURE", "BTCUSDH26", "BTC-USD-260327"),
        ("BYBIT", "FUTURE", "BTC-29MAR24", "BTC-USDC-240329"),
        ("BYBIT", "FUTURE", "BTCUSDT-29MAR24", "BTC-USDT-240329"),
        ("BYBIT-SPOT", "SPOT_PAIR", "BTC3LUSDT", "BTC3L-USDT"),
        ("OKX-FUTURES", "FUTURE", "BTC-USD-260710", "BTC-USD-260710"),
        ("OKX-FUTURES", "FUTURE", "BTC-USD_UM-260710", "BTC-USD@USD-260710"),
        ("OKX-FUTURES", "FUTURE", "BTC-USD_UM_XPERP-310404", "~BTC-USD_UM_XPERP-310404"),
        ("UPBIT", "SPOT_PAIR", "KRW-BTC", "BTC-KRW"),
        ("OKX-OPTIONS", "OPTION", "BTC-USD-200605-9250-P", "BTC-USD-200605-9250-PUT"),
        ("BINANCE-DELIVERY", "PERPETUAL", "BTCUSD_PERP", "BTC-USD"),
    ],
)
def test_the_predecessors_mistakes_are_not_made(
    venue: str, instrument_type: str, vendor_symbol: str, symbol: str
) -> None:
    assert parse_symbol(venue, instrument_type, vendor_symbol)[0].symbol == symbol


@pytest.mark.parametrize(
    ("venue", "instrument_type", "vendor_symbols"),
    [
        ("BINANCE", "SPOT_PAIR", "SHIBUSDT 1000SHIBUSDT SHIB1000USDT"),
        ("BYBIT", "PERPETUAL", "BTCUSD BTCUSDT BTCPERP BTCUSDC"),
        ("BYBIT", "FUTURE", "BTCUSDH24 BTC-29MAR24 BTCUSDT-29MAR24"),
        ("BYBIT-OPTIONS", "OPTION", "BTC-28MAR25-84000-P BTC-28MAR25-84000-P-USDT"),
        ("BITGET-FUTURES", "PERPETUAL", "BTCUSD BTCUSDT BTCPERP BTCUSDC"),
        ("OKX-FUTURES", "FUTURE", "BTC-USD-310404 BTC-USDT-310404 BTC-USD_UM-310404 BTC-USD_UM_XPERP-310404"),
        ("OKX-SWAP", "PERPETUAL", "BTC-USD-SWAP BTC-USD_UM-SWAP BTC-USDC-SWAP"),
        ("OKX-OPTIONS", "OPTION", "SOL-USD-260618-67-C SOL-USD_UM-260618-67-C"),
        ("CRYPTOFACILITIES", "PERPETUAL", "PI_XBTUSD PF_XBTUSD"),
        ("CRYPTOFACILITIES", "FUTURE", "FI_XBTUSD_240329 FF_XBTUSD_240329"),
        ("BITMEX", "PERPETUAL", "ETHUSD ETHUSD_ETH ETHUSDT"),
        ("BITMEX", "FUTURE", "ETHM22 ETHUSDM22 ETHUSDM22_ETH ETHUSDTM22 XBTM22 XBTUSDTM22 XBTUSDM22"),
        ("DERIBIT", "PERPETUAL", "BTC-PERPETUAL BTC_USDC-PERPETUAL BTC_-PERPETUAL"),
        ("PHEMEX", "PERPETUAL", "BTCUSD UBTCUSD BTCUSDT ETHUSD CETHUSD"),
        ("KUCOIN-FUTURES", "PERPETUAL", "XBTUSDM XBTUSDTM XBTUSDCM"),
        ("BINANCE-DEX", "SPOT_PAIR", "PHB-2DF_BNB PHB-2DE_BNB PHB_BNB"),
        ("HYPERLIQUID", "PERPETUAL", "TSLA XYZ-TSLA FLX-TSLA"),
        ("BINANCE-FUTURES", "PERPETUAL", "BTCUSDT BTCUSDT_ BTCUSDC"),
    ],
)
def test_contracts_on_one_pair_have_keys_of_their_own(venue: str, instrument_type: str, vendor_symbols: str) -> None:
    symbols = vendor_symbols.split()
    keys = {parse_symbol(venue, instrument_type, symbol)[0].symbol for symbol in symbols}
    assert len(keys) == len(symbols)


@pytest.mark.parametrize(
    ("venue", "instrument_type", "vendor_symbols"),
    [
        ("KRAKEN", "SPOT_PAIR", "XBT-USD BTC-USD"),
        ("KRAKEN", "SPOT_PAIR", "XDG-XBT DOGE-BTC"),
        ("POLONIEX", "SPOT_PAIR", "USDT_BTC BTC_USDT"),
        ("BITFINEX", "SPOT_PAIR", "DSHUSD DASH-USD"),
        ("BITFINEX", "SPOT_PAIR", "MNAUSD MANA-USD"),
        ("BYBIT", "FUTURE", "BTC-03NOV23 BTC-3NOV23"),
    ],
)
def test_a_renamed_pair_keeps_its_key(venue: str, instrument_type: str, vendor_symbols: str) -> None:
    assert len({parse_symbol(venue, instrument_type, symbol)[0] for symbol in vendor_symbols.split()}) == 1


def test_no_two_codes_of_bitfinex_are_one_asset() -> None:
    assert len(set(bitfinex.CODES.values())) == len(bitfinex.CODES)
    assert not set(bitfinex.CODES.values()) & set(bitfinex.CODES)


@pytest.mark.parametrize(
    ("venue", "instrument_type", "vendor_symbol"),
    [
        ("LIGHTER", "PERPETUAL", "0"),
        ("LIGHTER", "SPOT_PAIR", "2048"),
        ("POLYMARKET", "PREDICTION", "71321045679252212594626385532706912750332728571942532289631379312455583992563"),
        ("BINANCE", "PERPETUAL", "BTCUSDT"),  # a type the venue does not have
        ("BINANCE-FUTURES", "FUTURE", "BTCUSDT_240230"),  # no such date
        ("BINANCE-FUTURES", "FUTURE", "BTCUSDT_٢٤٠٣٢٩"),
        ("BITMEX", "FUTURE", "XBTA21"),  # no such month letter
        ("BULLISH", "FUTURE", "BTC-USDC-21260426"),  # another century would share two digits of the year
        ("DERIBIT", "OPTION", "BTC-25APR25-200000-X"),
        ("DERIBIT", "FUTURE", "BTC-05JAN24"),
        ("DERIBIT", "OPTION", "BTC-05JAN24-30000-C"),  # Deribit writes no zero before a day
        ("BYBIT", "FUTURE", "BTC-00NOV23"),
        ("BYBIT", "FUTURE", "BTC-003NOV23"),
        ("BYBIT", "FUTURE", "BTCUSDC-03NOV23"),  # such a contract leaves its quote out
        ("DYDX-V4", "PERPETUAL", "PEPE,UNISWAP_V3,0X6982508145454CE325DDBE47A25D4EC3D2311933-USD"),
        ("FTX", "FUTURE", "TRUMP2024"),
        ("HYPERLIQUID", "SPOT_PAIR", "@162"),
        ("STAR-ATLAS", "SPOT_PAIR", "A-B-C"),
        ("NO-SUCH-VENUE", "SPOT_PAIR", "BTCUSDT"),
    ],
)
def test_what_nobody_can_parse_keeps_the_vendors_form(venue: str, instrument_type: str, vendor_symbol: str) -> None:
    parsed, source = parse_symbol(venue, instrument_type, vendor_symbol)
    assert parsed == unparsed_symbol(vendor_symbol)
    assert source is KeySource.VENDOR_SYMBOL
