"""Venues with options, the smaller mixed ones, and those of odd symbols; `listing_table` explains the grammar.

Symbols and days: the vendor's "Historical data details" and recorded answers. Most days within a venue's life are made
up, as are the first days of polymarket, mexc-futures and aster-futures [U].
"""

from __future__ import annotations

TABLE = """
# `deribit` adds the bulk of this venue's instruments.
deribit | Deribit | 2019-03-30 | book_ticker liquidations chain
    perpetual LINK_USDC-PERPETUAL LINK/USDC 2024-03-19..
    future BTCDVOL_USDC-{short} BTCDVOL/USDC on=2023-08-30 2023-03-27..
    option MATIC_USDC-{short}-1d02-{side} MATIC/USDC on=2024-03-09 2024-03-07.. strike=1.02
    combo BTC-CSR12-{short}-21000_23000 BTC/USD:BTC on=2022-09-16 2022-09-02..
    combo BTC-STRD-{short}-20000 BTC/USD:BTC on=2022-09-30 2022-08-26..
    combo BTC-CCAL-{short}_10JUL26-75000 BTC/USD:BTC on=2026-07-24 2026-06-26..2026-07-11

okex-options | OKX Options | 2020-02-01 | chain
    option BTC-USD-{ymd}-{strike}-{side} BTC/USD:BTC quarterly strikes=0.9,1.1
    option ETH-USD-{ymd}-{strike}-{side} ETH/USD:ETH quarterly strikes=1
    option BTC-USD-{ymd}-{strike}-{side} BTC/USD:BTC on=2020-06-05 2020-05-22.. strike=9250

# Serves the chain of a single contract too.
bybit-options | Bybit Options | 2023-04-05 | chain single_chain
    option BTC-{short}-{strike}-{side} BTC/USDC quarterly strikes=0.9,1.1
    option BTC-{short}-{strike}-{side} BTC/USDC on=2023-04-28,2023-05-02 strikes=1
    option BTC-{short}-{strike}-{side}-USDT BTC/USDT quarterly 2025-02-19.. strikes=1
    option BTC-{short}-84000-{side}-USDT BTC/USDT on=2025-04-04 2025-04-01.. strike=84000

binance-european-options | Binance European Options | 2023-06-15 | chain
    option BTC-{ymd}-{strike}-{side} BTC/USDT quarterly strikes=0.9,1.1
    option DOGE-{ymd}-{strike}-{side} DOGE/USDT on=2023-10-06 2023-09-29.. strike=0.06
    option XRP-{ymd}-{strike}-{side} XRP/USDT quarterly 2023-09-01.. strikes=1

binance-options | Binance Options | 2021-03-01..2022-07-02 |
    option BTC-{ymd}-{strike}-{side} BTC/USDT quarterly strikes=0.9,1.1
    option BTC-{ymd}-{strike}-{side} BTC/USDT on=2021-03-05 strikes=1

huobi-dm-options | HTX Options | 2021-02-01..2021-06-26 | chain
    option BTC-USDT-{ymd}-{side}-{strike} BTC/USDT quarterly strikes=0.9,1.1
    option BTC-USDT-{ymd}-{side}-{strike} BTC/USDT on=2021-06-25 2021-04-01.. strike=87000

bullish | Bullish | 2026-05-05 | chain
    spot BTCUSDC BTC/USDC
    spot BONK1MUSDC BONK1M/USDC
    perpetual BTC-USDC-PERP BTC/USDC
    future BTC-USDC-{long} BTC/USDC quarterly
    option BTC-USDC-{long}-{strike}-{side} BTC/USDC quarterly strikes=0.9,1.1

# Side before strike, day before month; a dated future names no year.
delta | Delta | 2020-03-30 |
    spot BTC_USDT BTC/USDT
    perpetual BTCUSDT BTC/USDT
    perpetual BTCUSD BTC/USD 2023-12-20..
    future BTCUSDQ_{dmon} BTC/USD on=2024-03-29 2023-12-29.. at=12
    option {side}-BTC-{strike}-{dmy} BTC/USD quarterly 2022-12-30.. strikes=1 at=12
    option {side}-BTC-27700-{dmy} BTC/USD on=2023-04-01 2023-03-28.. strike=27700 at=12
    option MV-BTC-33000-{dmy} BTC/USD on=2023-04-21 2023-04-19.. strike=33000 at=12 type=move

bitmex | BitMEX | 2019-03-30 | book_ticker liquidations
    perpetual XBTUSD BTC/USD:BTC tick=0.5 busy=0.5
    perpetual ETHUSD ETH/USD:BTC
    perpetual XBTUSDT BTC/USDT 2021-11-23..
    perpetual ETHUSD_ETH ETH/USD:ETH 2022-05-10..
    future XBT{letter} BTC/USD:BTC quarterly at=12
    future ETH{letter} ETH/BTC quarterly ..2023-01-01 at=12
    future EOS{letter} EOS/BTC on=2019-06-28 2019-03-30.. at=12
    spot XBT_USDT BTC/USDT 2022-05-17..

cryptofacilities | Kraken Futures | 2019-03-30 | liquidations
    perpetual PI_XBTUSD BTC/USD:BTC
    perpetual PF_XBTUSD BTC/USD 2022-03-22..
    perpetual PF_SUIUSD SUI/USD 2023-05-04..
    perpetual PV_XRPXBT XRP/BTC ..2022-12-31
    future FI_XBTUSD_{ymd} BTC/USD:BTC quarterly at=15
    future FF_XBTUSD_{ymd} BTC/USD quarterly 2022-09-30..

bitflyer | bitFlyer | 2019-08-30 |
    spot BTC_JPY BTC/JPY
    spot ETH_JPY ETH/JPY
    perpetual FX_BTC_JPY BTC/JPY
    future BTCJPY{dmonyyyy} BTC/JPY quarterly ..2024-03-30 at=2
    future BTCJPY_MAT1WK BTC/JPY ..2024-03-30

coinflex | CoinFLEX | 2020-07-14..2023-04-07 |
    spot BTC-USD BTC/USD
    spot FLEX-USD FLEX/USD
    perpetual BTC-USD-SWAP-LIN BTC/USD
    future BTC-USD-{ymd}-LIN BTC/USD quarterly at=12
    combo BTC-USD-SPR-QP-LIN BTC/USD
    combo BTC-USD-REPO-LIN BTC/USD type=repo

crypto-com | Crypto.com | 2022-06-01 | book_ticker
    spot BTC_USDT BTC/USDT
    spot CRO_USDT CRO/USDT
    perpetual BTCUSD-PERP BTC/USD 2022-11-01..
    future BTCUSD-{ymd} BTC/USD quarterly 2022-11-01..

crypto-com-derivatives | Crypto.com Derivatives | 2022-06-01..2022-11-01 |
    perpetual BTCUSD-PERP BTC/USD
    perpetual ETHUSD-PERP ETH/USD
    future BTCUSD-{ymd} BTC/USD quarterly

bitnomial | Bitnomial | 2023-01-13 |
    future BUI{letter} BTC/USD quarterly
    future BUS{digit} BTC/USD quarterly ..2025-12-31

woo-x | WOO X | 2023-01-20 |
    spot SPOT_ETH_USDT ETH/USDT
    spot SPOT_WOO_USDT WOO/USDT
    perpetual PERP_BTC_USDT BTC/USDT
    perpetual PERP_ETH_USDT ETH/USDT 2023-02-01..

hyperliquid | Hyperliquid | 2024-10-29 | book_ticker
    perpetual BTC BTC/USDC
    perpetual kPEPE KPEPE/USDC
    perpetual 0G 0G/USDC 2025-09-22..
    perpetual xyz:TSLA TSLA/USDC 2025-11-10.. of=equity
    spot @107 HYPE/USDC 2024-11-29..
    spot @162 BUDDY/USDC 2025-02-01..
    spot PURR/USDC PURR/USDC

mango | Mango | 2022-01-19..2022-10-14 |
    spot SOL/USDC SOL/USDC
    spot MNGO/USDC MNGO/USDC
    perpetual SOL-PERP SOL/USDC
    perpetual BTC-PERP BTC/USDC

# Numbers of the venue's market table.
lighter | Lighter | 2026-04-17 |
    perpetual 0 ETH/USDC
    perpetual 1 BTC/USDC
    perpetual 24 HYPE/USDC 2026-06-02..
    spot 2048 ETH/USDC

mexc-futures | MEXC Futures | 2026-06-25 |
    perpetual BTC_USDT BTC/USDT
    perpetual BTC_USD BTC/USD:BTC
    perpetual TRUMPOFFICIAL_USDT TRUMPOFFICIAL/USDT

aster-futures | Aster Futures | 2026-04-01 | book_ticker
    perpetual BTCUSDT BTC/USDT
    perpetual ETHUSDT ETH/USDT
    perpetual ASTERUSDT ASTER/USDT 2026-04-20..

polymarket | Polymarket | 2026-03-02 |
    prediction 7132104567925293020928213442351829163724894512673905128846301957284610395728 YES/USDC
    prediction 52114319501245915516055106046884209969926127482827954674443846427813813222426 YES/USDC
    prediction 108233603819208437450861277139406512377309265419812640558930174228651930471826 YES/USDC ..2026-09-16
"""
