"""The venue table: frozen, since instrument keys and object keys derive from it."""

from __future__ import annotations

import pytest

from market_data.errors import ConfigurationError
from market_data.model.venues import EXCHANGE_IDS, VENUES, exchange_id_of, group_name_of, parse_venue

# Written out rather than derived: a change of any line changes the keys of published files.
GOLDEN = """
    ascendex                   ASCENDEX                   ascendex
    aster                      ASTER                      aster
    aster-futures              ASTER-FUTURES              aster_futures
    binance                    BINANCE                    binance
    binance-delivery           BINANCE-DELIVERY           binance_delivery
    binance-dex                BINANCE-DEX                binance_dex
    binance-european-options   BINANCE-EUROPEAN-OPTIONS   binance_european_options
    binance-futures            BINANCE-FUTURES            binance_futures
    binance-jersey             BINANCE-JERSEY             binance_jersey
    binance-options            BINANCE-OPTIONS            binance_options
    binance-us                 BINANCE-US                 binance_us
    bitfinex                   BITFINEX                   bitfinex
    bitfinex-derivatives       BITFINEX-DERIVATIVES       bitfinex_derivatives
    bitflyer                   BITFLYER                   bitflyer
    bitget                     BITGET                     bitget
    bitget-futures             BITGET-FUTURES             bitget_futures
    bitmex                     BITMEX                     bitmex
    bitnomial                  BITNOMIAL                  bitnomial
    bitstamp                   BITSTAMP                   bitstamp
    blockchain-com             BLOCKCHAIN-COM             blockchain_com
    bullish                    BULLISH                    bullish
    bybit                      BYBIT                      bybit
    bybit-options              BYBIT-OPTIONS              bybit_options
    bybit-spot                 BYBIT-SPOT                 bybit_spot
    coinbase                   COINBASE                   coinbase
    coinbase-international     COINBASE-INTERNATIONAL     coinbase_international
    coinflex                   COINFLEX                   coinflex
    crypto-com                 CRYPTO-COM                 crypto_com
    crypto-com-derivatives     CRYPTO-COM-DERIVATIVES     crypto_com_derivatives
    cryptofacilities           CRYPTOFACILITIES           cryptofacilities
    delta                      DELTA                      delta
    deribit                    DERIBIT                    deribit
    dydx                       DYDX                       dydx
    dydx-v4                    DYDX-V4                    dydx_v4
    ftx                        FTX                        ftx
    ftx-us                     FTX-US                     ftx_us
    gate-io                    GATE-IO                    gate_io
    gate-io-futures            GATE-IO-FUTURES            gate_io_futures
    gemini                     GEMINI                     gemini
    hitbtc                     HITBTC                     hitbtc
    huobi                      HUOBI                      huobi
    huobi-dm                   HUOBI-DM                   huobi_dm
    huobi-dm-linear-swap       HUOBI-DM-LINEAR-SWAP       huobi_dm_linear_swap
    huobi-dm-options           HUOBI-DM-OPTIONS           huobi_dm_options
    huobi-dm-swap              HUOBI-DM-SWAP              huobi_dm_swap
    hyperliquid                HYPERLIQUID                hyperliquid
    kraken                     KRAKEN                     kraken
    kucoin                     KUCOIN                     kucoin
    kucoin-futures             KUCOIN-FUTURES             kucoin_futures
    lighter                    LIGHTER                    lighter
    mango                      MANGO                      mango
    mexc                       MEXC                       mexc
    mexc-futures               MEXC-FUTURES               mexc_futures
    okcoin                     OKCOIN                     okcoin
    okex                       OKX                        okx
    okex-futures               OKX-FUTURES                okx_futures
    okex-options               OKX-OPTIONS                okx_options
    okex-spreads               OKX-SPREADS                okx_spreads
    okex-swap                  OKX-SWAP                   okx_swap
    phemex                     PHEMEX                     phemex
    poloniex                   POLONIEX                   poloniex
    polymarket                 POLYMARKET                 polymarket
    serum                      SERUM                      serum
    star-atlas                 STAR-ATLAS                 star_atlas
    upbit                      UPBIT                      upbit
    woo-x                      WOO-X                      woo_x
"""
ROWS = [tuple(line.split()) for line in GOLDEN.split("\n") if line.strip()]


def test_the_table_of_venues_is_frozen() -> None:
    assert [row[0] for row in ROWS] == sorted(EXCHANGE_IDS)
    assert sorted(row[1] for row in ROWS) == list(VENUES)
    assert len(VENUES) == len(EXCHANGE_IDS)


@pytest.mark.parametrize(("exchange_id", "venue", "group_name"), ROWS)
def test_a_venue_is_known_by_every_spelling(exchange_id: str, venue: str, group_name: str) -> None:
    spellings = {exchange_id, venue, group_name, exchange_id.upper(), venue.lower(), group_name.upper()}
    spellings |= {exchange_id.replace("-", "_"), venue.title(), f"  {venue}\n"}
    assert {parse_venue(spelling) for spelling in spellings} == {venue}
    assert exchange_id_of(venue) == exchange_id
    assert group_name_of(venue) == group_name


def test_group_names_are_distinct_lower_snake_case() -> None:
    names = [group_name_of(venue) for venue in VENUES]
    assert len(set(names)) == len(names)
    assert all(name.replace("_", "").isalnum() and name == name.lower() for name in names)


@pytest.mark.parametrize("text", ["", "binanc", "binance.futures", "binance futures", "okxx", "BINANCE:SPOT_PAIR"])
def test_an_unknown_venue_is_named_together_with_the_known_ones(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_venue(text)
    message = str(caught.value)
    assert message.startswith(f"unknown venue {text!r}. Known venues: ASCENDEX, ")
    assert all(venue in message for venue in VENUES)
