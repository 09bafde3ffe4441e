"""Venues that list spot pairs only; `listing_table` explains the grammar.

Symbols and days: the vendor's "Historical data details" and recorded answers. Which venues have a best-price feed of
their own, days within a venue's life, and what is said of aster and mexc are made up [U].
"""

from __future__ import annotations

TABLE = """
binance | Binance Spot | 2019-03-30 | book_ticker
    spot btcusdt BTC/USDT tick=0.01 lot=0.00001 busy=1
    spot ethusdt ETH/USDT tick=0.01 lot=0.0001 busy=0.8
    spot ethbtc ETH/BTC tick=0.00001 lot=0.0001
    spot 1inchusdt 1INCH/USDT 2020-12-25.. tick=0.0001 lot=0.1
    # delisted years ago: its availableTo lies before exportedUntil
    spot erdusdt ERD/USDT 2019-07-05..2020-09-04 tick=0.000001 lot=1
    # listed recently
    spot monusdt MON/USDT 2026-09-10.. tick=0.00001 lot=1

binance-us | Binance US | 2019-09-25 | book_ticker
    spot btcusd BTC/USD
    spot bnbbusd BNB/BUSD ..2023-03-10
    spot batusd BAT/USD 2019-10-02..2023-09-29
    spot ethusdt ETH/USDT 2020-01-20..

binance-jersey | Binance Jersey | 2019-10-30..2020-11-10 |
    spot btcgbp BTC/GBP
    spot btceur BTC/EUR
    spot bnbbgbp BNB/BGBP 2020-01-15..

binance-dex | Binance DEX | 2019-06-04..2022-10-04 |
    spot PHB-2DF_BNB PHB-2DF/BNB
    spot RUNE-B1A_BNB RUNE-B1A/BNB 2019-07-23..
    spot BTCB-1DE_BUSD-BD1 BTCB-1DE/BUSD-BD1 2019-12-03.. like=BTC

okex | OKX Spot | 2019-03-30 | book_ticker
    spot BTC-USDT BTC/USDT
    spot BTC-DAI BTC/DAI 2019-12-20..2024-05-10
    spot ETH-BTC ETH/BTC
    spot 1INCH-USDT 1INCH/USDT 2020-12-25..

okcoin | OKCoin | 2019-11-19..2025-10-01 |
    spot BTC-USD BTC/USD
    spot ETH-EUR ETH/EUR
    spot STX-USD STX/USD 2020-10-08..

huobi | HTX Spot | 2019-11-19 | book_ticker
    spot btcusdt BTC/USDT
    spot btchusd BTC/HUSD ..2022-10-28
    spot htbtc HT/BTC
    spot ethusdt ETH/USDT

bybit-spot | Bybit Spot | 2021-12-04 | book_ticker
    spot BTCUSDT BTC/USDT
    spot BITBTC BIT/BTC ..2023-08-31
    spot BTC3LUSDT BTC3L/USDT 2022-03-01..
    spot ETHEUR ETH/EUR 2023-08-10..

ftx-us | FTX US | 2020-05-22..2022-11-13 |
    spot BTC/USD BTC/USD
    spot SOL/USD SOL/USD 2021-01-20..
    spot DOGE/USDT DOGE/USDT 2021-02-12..

bitfinex | Bitfinex | 2019-05-23 |
    spot BTCUSD BTC/USD
    spot BTCUST BTC/USDT
    spot MATIC:BTC MATIC/BTC 2020-02-06..2024-09-11
    spot DSHUSD DASH/USD
    spot IOTBTC IOTA/BTC
    spot TERRAUST:USD TERRAUST/USD 2021-03-10..2022-05-13

coinbase | Coinbase | 2019-03-30 |
    spot BTC-USD BTC/USD
    spot ETC-GBP ETC/GBP
    spot ETH-BTC ETH/BTC
    spot 00-USD 00/USD 2022-07-28..

bitstamp | Bitstamp | 2019-03-30 |
    spot btcusd BTC/USD
    spot etheur ETH/EUR
    spot xrprlusd XRP/RLUSD 2025-02-13..
    spot ethbtc ETH/BTC

# Until 2022-08-01 the quote stood first.
poloniex | Poloniex | 2020-07-01 |
    spot USDT_BTC BTC/USDT ..2022-08-02
    spot BTC_USDT BTC/USDT 2022-08-02..
    spot BTC_XMR XMR/BTC ..2022-08-02
    spot XMR_BTC XMR/BTC 2022-08-02..
    spot AAVE_BTC AAVE/BTC 2022-08-02..

gate-io | Gate.io | 2020-07-01 | book_ticker
    spot BTC_USDT BTC/USDT
    spot TLOS_BTC TLOS/BTC ..2025-01-31
    spot 10SET_USDT 10SET/USDT 2021-08-16..

hitbtc | HitBTC | 2019-11-19 |
    spot BTCUSD BTC/USD
    spot BTCTUSD BTC/TUSD ..2023-06-01
    spot BATUSD BAT/USD
    spot ETHBTC ETH/BTC

kucoin | KuCoin | 2022-08-16 | book_ticker
    spot BTC-USDT BTC/USDT
    spot APE3S-USDT APE3S/USDT ..2025-03-14
    spot ETH-BTC ETH/BTC

# The quote stands first.
upbit | Upbit | 2021-03-03 |
    spot KRW-BTC BTC/KRW
    spot KRW-XRP XRP/KRW
    spot BTC-ETH ETH/BTC
    spot USDT-ETC ETC/USDT 2022-05-20..

bitget | Bitget Spot | 2024-11-08 | book_ticker
    spot BTCUSDT BTC/USDT
    spot ETHUSDC ETH/USDC
    spot BGBUSDT BGB/USDT 2024-12-01..

# The move to the venue's feed v2 renamed XBT and XDG.
kraken | Kraken | 2019-06-04 |
    spot XBT/USD BTC/USD ..2026-07-10
    spot XBT/EUR BTC/EUR ..2026-07-10
    spot LTC/XBT LTC/BTC ..2026-07-10
    spot XDG/USD DOGE/USD 2019-10-17..2026-07-10
    spot BTC/USD BTC/USD 2026-07-10..
    spot BTC/EUR BTC/EUR 2026-07-10..
    spot LTC/BTC LTC/BTC 2026-07-10..
    spot DOGE/USD DOGE/USD 2026-07-10..
    spot XRP/EUR XRP/EUR
    spot AAPLx/USD AAPLX/USD 2025-06-30.. of=equity

mexc | MEXC | 2026-06-25 |
    spot BTCUSDT BTC/USDT
    spot ETHUSDC ETH/USDC
    spot MXUSDT MX/USDT

aster | Aster | 2026-04-01 | book_ticker
    spot BTCUSDT BTC/USDT
    spot ASTERUSDT ASTER/USDT
    spot BNBUSD1 BNB/USD1 2026-05-11..

serum | Serum | 2021-06-23..2022-11-13 |
    spot BTC/USDC BTC/USDC
    spot SOL/USDC SOL/USDC
    spot SRM/USDT SRM/USDT ..2022-09-01

star-atlas | Star Atlas | 2021-10-09..2022-09-05 |
    spot ATLAS/USDC ATLAS/USDC
    spot POLIS/USDC POLIS/USDC
    spot FOOD/ATLAS FOOD/ATLAS 2022-02-15..

blockchain-com | Blockchain.com | 2023-02-23 |
    spot BTC-USD BTC/USD
    spot ETH-EUR ETH/EUR
    spot SOL-USDT SOL/USDT 2023-05-02..
"""
