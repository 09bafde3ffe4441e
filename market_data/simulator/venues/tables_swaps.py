"""Venues that list derivatives but no options, some with spot pairs; `listing_table` explains the grammar.

Symbols and days: the vendor's "Historical data details" and recorded answers. Which venues have best-price and
liquidation feeds and most days within a venue's life are made up, as are the first days of aster-futures and lighter's
markets [U].
"""

from __future__ import annotations

TABLE = """
binance-futures | Binance USDT Futures | 2019-11-17 | book_ticker liquidations
    perpetual btcusdt BTC/USDT tick=0.1 lot=0.001 busy=1
    perpetual ethusdt ETH/USDT 2019-11-28.. tick=0.01 lot=0.001 busy=0.8
    perpetual 1000shibusdt 1000SHIB/USDT 2021-05-11.. tick=0.000001 lot=1 like=SHIB times=1000
    perpetual btcusdc BTC/USDC 2024-01-04.. tick=0.1 lot=0.001 busy=0.4
    perpetual 币安人生usdt 币安人生/USDT 2025-10-15..2026-11-09
    future btcusdt_{ymd} BTC/USDT quarterly 2021-02-03.. tick=0.1 lot=0.001
    future ethusdt_{ymd} ETH/USDT quarterly 2021-02-03.. tick=0.01 lot=0.001
    future btcbusd_{ymd} BTC/BUSD on=2021-01-29 2021-01-13..

binance-delivery | Binance COIN Futures | 2020-06-16 | book_ticker liquidations
    perpetual btcusd_perp BTC/USD:BTC 2020-08-11.. tick=0.1 value=100 busy=0.5
    future btcusd_{ymd} BTC/USD:BTC quarterly tick=0.1 value=100
    perpetual ethusd_perp ETH/USD:ETH 2020-08-20.. tick=0.01 value=10 busy=0.5
    future ethusd_{ymd} ETH/USD:ETH quarterly tick=0.01 value=10

okex-futures | OKX Futures | 2019-03-30 | book_ticker liquidations
    future BTC-USD-{ymd} BTC/USD:BTC quarterly
    future BTC-USDT-{ymd} BTC/USDT quarterly 2019-12-27..
    future BTC-USD_UM-{ymd} BTC/USD on=2026-07-10 2026-06-26..
    future BTC-USD_UM_XPERP-{ymd} BTC/USD on=2031-04-04 2026-04-06.. type=linear_xperp

okex-swap | OKX Swap | 2019-03-30 | book_ticker liquidations
    perpetual BTC-USD-SWAP BTC/USD:BTC
    perpetual BTC-USDT-SWAP BTC/USDT 2019-12-05..
    perpetual BTC-USDC-SWAP BTC/USDC 2023-01-10..
    perpetual LUNA-USDT-SWAP LUNA/USDT 2020-12-22..2022-05-13

okex-spreads | OKX Spreads | 2023-12-22 |
    combo BTC-USD-SWAP_BTC-USD-{ymd} BTC/USD:BTC quarterly
    combo BTC-USD-231229_BTC-USD-{ymd} BTC/USD:BTC on=2024-03-29 ..2023-12-30
    combo ETH-USD-SWAP_ETH-USD-{ymd} ETH/USD:ETH quarterly

huobi-dm | HTX Futures | 2019-11-19 | book_ticker liquidations
    # rolling aliases: what trades under them changes every week or quarter
    future BTC_CW BTC/USD:BTC
    future BTC_NW BTC/USD:BTC
    future BTC_CQ BTC/USD:BTC
    future BTC_NQ BTC/USD:BTC 2020-06-15..
    future XRP_CW XRP/USD:XRP ..2023-05-05

huobi-dm-swap | HTX COIN Swaps | 2020-03-28 | book_ticker liquidations
    perpetual BTC-USD BTC/USD:BTC
    perpetual ETH-USD ETH/USD:ETH
    perpetual XRP-USD XRP/USD:XRP 2020-05-25..2024-02-01

huobi-dm-linear-swap | HTX USDT Swaps | 2020-10-30 | book_ticker liquidations
    perpetual BTC-USDT BTC/USDT
    perpetual 1INCH-USDT 1INCH/USDT 2021-01-12..
    future BTC-USDT-{ymd} BTC/USDT quarterly 2021-12-13..2024-07-01

ftx | FTX | 2019-08-01..2022-11-13 | liquidations
    spot BTC/USD BTC/USD
    spot SOL/USDT SOL/USDT 2020-08-05..
    perpetual BTC-PERP BTC/USD
    perpetual SHIT-PERP SHIT/USD
    future BTC-{mmdd} BTC/USD quarterly at=3
    future BRZ-{mmdd} BRZ/USD on=2020-06-26 2020-04-03.. at=3
    future BTC-MOVE-{mmdd} BTC/USD on=2020-05-12 2020-05-10.. at=24 type=move
    future BTC-MOVE-WK-{mmdd} BTC/USD on=2020-05-15 2020-05-01.. at=24 type=move
    future BTC-MOVE-2020Q2 BTC/USD ..2020-07-01 type=move
    # an id that came back: its files run on for years
    future BTC-MOVE-0101 BTC/USD 2020-12-30..2022-01-02 type=move

bitfinex-derivatives | Bitfinex Derivatives | 2019-09-14 | liquidations
    perpetual BTCF0:USTF0 BTC/USDT
    perpetual ETHF0:BTCF0 ETH/BTC 2019-12-10..2023-03-31
    perpetual XAUTF0:USTF0 XAUT/USDT 2020-05-04.. of=commodity

coinbase-international | Coinbase International | 2024-10-31 |
    perpetual BTC-PERP BTC/USDC
    perpetual SOL-PERP SOL/USDC
    perpetual TSLA-PERP TSLA/USDC 2026-03-16.. of=equity
    spot BTC-USDC BTC/USDC

gemini | Gemini | 2019-08-30 |
    spot BTCUSD BTC/USD
    spot ETHBTC ETH/BTC
    spot XRPGUSD XRP/GUSD 2023-08-10..
    spot PAXGUSD PAXG/USD 2021-06-01..
    spot BTCRLUSD BTC/RLUSD 2025-05-20..
    perpetual BTCGUSDPERP BTC/GUSD 2023-05-01..

bybit | Bybit Derivatives | 2019-11-07 | book_ticker liquidations
    perpetual BTCUSD BTC/USD:BTC
    perpetual BTCUSDT BTC/USDT 2020-03-25..
    perpetual BTCPERP BTC/USDC 2022-03-08..
    perpetual SHIB1000USDT SHIB1000/USDT 2021-06-24.. like=SHIB times=1000
    perpetual 10000LADYSUSDT 10000LADYS/USDT 2023-05-12..2025-02-20
    future BTCUSD{letter} BTC/USD:BTC quarterly 2021-03-05..
    future BTC-{short} BTC/USDC quarterly 2023-06-30..
    future BTCUSDT-{short} BTC/USDT quarterly 2024-12-27..

phemex | Phemex | 2020-03-17 |
    perpetual BTCUSD BTC/USD:BTC
    perpetual ETHUSD ETH/USD
    perpetual uBTCUSD BTC/USD 2020-11-05..2024-06-01
    perpetual cETHUSD ETH/USD:ETH 2021-06-15..
    perpetual BTCUSDT BTC/USDT 2022-12-01..
    spot sBTCUSDT BTC/USDT
    spot sETHUSDT ETH/USDT

ascendex | AscendEX | 2021-03-28 |
    spot BTC/USDT BTC/USDT
    spot ASD/USDT ASD/USDT
    perpetual BTC-PERP BTC/USDT
    perpetual ETH-PERP ETH/USDT 2021-04-20..

kucoin-futures | KuCoin Futures | 2024-01-25 | book_ticker
    perpetual XBTUSDTM BTC/USDT
    perpetual SOLUSDTM SOL/USDT
    perpetual XBTUSDM BTC/USD:BTC
    future XBTM{letter} BTC/USD:BTC quarterly

dydx | dYdX | 2021-04-06..2024-10-30 |
    perpetual BTC-USD BTC/USD:USDC
    perpetual ETH-USD ETH/USD:USDC
    perpetual 1INCH-USD 1INCH/USD:USDC 2021-07-29..

dydx-v4 | dYdX v4 | 2024-08-23 |
    perpetual BTC-USD BTC/USD:USDC
    perpetual 1INCH-USD 1INCH/USD:USDC
    perpetual SOL-USD SOL/USD:USDC 2024-09-10..

gate-io-futures | Gate.io Futures | 2020-07-01 | book_ticker liquidations
    perpetual BTC_USDT BTC/USDT
    perpetual BTC_USD BTC/USD:BTC
    perpetual ETH_USD ETH/USD:BTC ..2024-12-31

bitget-futures | Bitget Futures | 2024-11-08 | book_ticker
    perpetual BTCUSDT BTC/USDT
    perpetual BTCUSD BTC/USD:BTC
    perpetual BTCPERP BTC/USDC
    future BTCUSD{letter} BTC/USD:BTC quarterly
"""
