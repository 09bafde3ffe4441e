"""Symbols without separator: no pair of base and quote is decided by luck, on any venue."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from market_data.symbology import (
    binance,
    bitget,
    bitmex,
    bullish,
    bybit,
    crypto_com,
    delta,
    gemini,
    huobi,
    kraken,
    kucoin,
    pairs,
    parse_symbol,
    phemex,
)
from market_data.symbology.quotes import BOTH_ARE_COINS, COINS_ENDING_IN, Quotes, quotes_of, split_pair

_MODULES = (
    binance,
    bitget,
    bitmex,
    bullish,
    bybit,
    crypto_com,
    delta,
    gemini,
    huobi,
    kraken,
    kucoin,
    pairs,
    phemex,
)
# every table of quotes of every parser that splits without a separator: `binance._SPOT_QUOTES`
TABLES: dict[str, Quotes] = {
    f"{module.__name__.rpartition('.')[2]}.{name}": table
    for module in _MODULES
    for name, table in vars(module).items()
    if isinstance(table, Quotes)
}

_OTHER_COINS = """
1000SATS 1INCH A AAVE AEVO AGLD AI AIXBT ALGO ALICE ALI AMP ANKR ANT APE API3 APT AR ARK ASTR AT ATOM AUDIO AVAX AXS B
BAL BAND BAT BCH BCHABC BET BIT BLUR BNT BOME BONK BSV BTC BTT CAKE CEL CELO CHILLGUY CHZ COMP CRV CTSI CTX CUBE CVC CVX
DAI DASH DENT DGD DOGE DOT DYDX EFIL EGLD ELON ENJ ENS EOS ETC ETH ETH2 ETHFI EUR EURC FDUSD FET FIL FLOKI FLOW FLR
FTM FTT G GAL GBP GMT GNO GOAT GRT GT GUSD HBAR HFT HNT HOT HT HYPE ICP IMX INJ IO IOST JTO JUP KAI KNC KSM LDO LEO LINK
LIT LPT LRC LTC LUN LUNC MASK MATIC ME MEW MIR MKR MNT MON NEAR NEIRO NEO NFT NMR NOT NXT OM ON ONDO ONE OP ORDI OXT PAX
PENDLE PENGU PEOPLE PEPE PERP PNUT POL POPCAT PYTH PYUSD QNT QTUM RARE REN RENDER RGT RLUSD RNDR ROSE RUNE S SAMO SAND
SEI SGB SHI SKL SLP SNT SNX SOL STETH STORJ STRK STX SUI SUSHI SXP TAO TON TRUMP TRX TUSD TWT UNI USDC USDD USDE USDG
USDP USDT UST VET VTHO W WBTC WIF WIN WLD XAUT XEM XLM XMR XRP XTZ XUSD YFI ZEC ZEN ZIL ZRO ZRX
""".split()
COINS = sorted({*_OTHER_COINS, *(coin for coins in COINS_ENDING_IN.values() for coin in coins)})


def _plausible_readings(text: str, table: Quotes) -> set[tuple[str, str]]:
    """Return the ways to read a symbol in which the base is a coin, and one that had that quote if few had it."""
    readings = {(text.removesuffix(quote), quote) for quote in table.names if text.endswith(quote)}
    return {
        (base, quote)
        for base, quote in readings
        if base in COINS and (quote not in table.only or base in table.only[quote])
    }


def test_every_table_of_quotes_is_looked_at_and_the_ones_with_two_readings_are_known() -> None:
    ambiguous = {
        name: {quote for quote in table.names if table.letters[quote]}
        for name, table in TABLES.items()
        if any(table.letters.values())
    }
    assert len(TABLES) == 25
    assert ambiguous == {
        "binance._JERSEY_QUOTES": {"BGBP"},
        "binance._SPOT_QUOTES": {"AEUR"},
        "binance._US_QUOTES": {"BUSD"},
        "bullish._SPOT_QUOTES": {"AUSD", "PYUSD", "RLUSD"},
        "gemini._QUOTES": {"GUSD", "RLUSD"},
        "pairs._BITSTAMP_QUOTES": {"RLUSD"},
        "pairs._HITBTC_QUOTES": {"BUSD", "GUSD", "TUSD"},
    }


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_plausible_pair_is_read_as_it_was_written_or_the_table_says_why_not(name: str) -> None:
    table = TABLES[name]
    for coin, quote in product(COINS, table.names):
        readings = _plausible_readings(coin + quote, table)
        split = split_pair(coin + quote, table)
        if len(readings) == 1:
            assert {split} == readings, coin + quote
        elif readings:
            assert split is not None
            longer = max((base for base, _ in readings), key=len)
            assert split[0] == longer, coin + quote
            assert longer in BOTH_ARE_COINS, coin + quote


def test_a_quote_that_ends_in_another_needs_a_decision() -> None:
    with pytest.raises(ValueError, match=r"undecided \['XUSD'\]"):
        quotes_of("USD XUSD BTC")
    with pytest.raises(ValueError, match=r"not a quote \['EUR'\]"):
        quotes_of("USD", only={"EUR": "BTC"})
    assert split_pair("SOLXUSD", quotes_of("USD XUSD", only={"XUSD": "BTC"})) == ("SOLX", "USD")
    assert split_pair("BTCXUSD", quotes_of("USD XUSD", only={"XUSD": "BTC"})) == ("BTC", "XUSD")
    assert split_pair("USD", quotes_of("USD")) is None


def test_the_tables_of_coins_hold_what_they_say() -> None:
    for letters, coins in COINS_ENDING_IN.items():
        assert all(coin.endswith(letters) and coin != letters for coin in coins)
    assert BOTH_ARE_COINS.keys() <= {coin for coins in COINS_ENDING_IN.values() for coin in coins}
    letters_of = {coin: letters for letters, coins in COINS_ENDING_IN.items() for coin in coins}
    shorter = {coin: coin.removesuffix(letters_of[coin]) for coin in BOTH_ARE_COINS}
    assert all(BOTH_ARE_COINS[coin] and other in COINS for coin, other in shorter.items())


def _facts(table: str) -> list[tuple[str, str, str]]:
    """Return venue, vendor symbol and the pair of its key, from lines of a venue and its `SYMBOL=BASE-QUOTE`."""
    lines = (line.split() for line in table.strip().splitlines())
    return [(venue, *fact.partition("=")[::2]) for venue, *facts in lines for fact in facts]


FACTS = _facts("""
BINANCE ADAEUR=ADA-EUR GALAEUR=GALA-EUR LUNAEUR=LUNA-EUR THETAEUR=THETA-EUR ENAEUR=ENA-EUR GALEUR=GAL-EUR
BINANCE BTCAEUR=BTC-AEUR ETHAEUR=ETH-AEUR EURAEUR=EUR-AEUR AEURUSDT=AEUR-USDT EUREURI=EUR-EURI EURIUSDT=EURI-USDT
BINANCE LUNABTC=LUNA-BTC ALPHABUSD=ALPHA-BUSD TRBUSDT=TRB-USDT SHIBUSDT=SHIB-USDT BNBTUSD=BNB-TUSD BATTUSD=BAT-TUSD
BINANCE TUSDBTUSD=TUSDB-TUSD USDSBUSDS=USDSB-USDS BTCUSDSB=BTC-USDSB BTCUST=BTC-UST BTCU=BTC-U UUSDT=U-USDT
BINANCE BNSOLSOL=BNSOL-SOL BTCFDUSD=BTC-FDUSD BTCBIDR=BTC-BIDR BTCIDRT=BTC-IDRT WBETHETH=WBETH-ETH BETHETH=BETH-ETH
BINANCE-US BNBUSD=BNB-USD BNBBUSD=BNB-BUSD SHIBUSD=SHIB-USD SHIBUSDT=SHIB-USDT ARBUSD=ARB-USD TRBUSD=TRB-USD
BINANCE-US DGBUSD=DGB-USD CKBUSD=CKB-USD BTCBUSD=BTC-BUSD VTHOBUSD=VTHO-BUSD TUSDUSD=TUSD-USD BUSDUSD=BUSD-USD
BINANCE-US MNTUSD=MNT-USD FTTUSD=FTT-USD GTUSD=GT-USD APTUSD=APT-USD NEARUSD=NEAR-USD AXSUSD=AXS-USD USTUSD=UST-USD
BINANCE-JERSEY BNBGBP=BNB-GBP BNBBGBP=BNB-BGBP BTCBGBP=BTC-BGBP BGBPGBP=BGBP-GBP
BITSTAMP RLUSDUSD=RLUSD-USD RLUSDEUR=RLUSD-EUR BTCRLUSD=BTC-RLUSD GUSDUSD=GUSD-USD PYUSDUSD=PYUSD-USD
BITSTAMP ETH2ETH=ETH2-ETH SHIBUSD=SHIB-USD SGBUSD=SGB-USD
BITSTAMP EURCEUR=EURC-EUR EURTUSD=EURT-USD GALAEUR=GALA-EUR PAXUSD=PAX-USD BTCPAX=BTC-PAX
BULLISH AAVEAUSD=AAVE-AUSD BTCAUSD=BTC-AUSD ADAUSD=ADA-USD ADAAUSD=ADA-AUSD LUNAUSD=LUNA-USD
BULLISH AUSDUSD=AUSD-USD AUSDUSDC=AUSD-USDC BTCPYUSD=BTC-PYUSD PYUSDUSD=PYUSD-USD XRPRLUSD=XRP-RLUSD
BULLISH RLUSDUSD=RLUSD-USD BTCUSDG=BTC-USDG
BULLISH BTCUSD=BTC-USD EURCEUR=EURC-EUR BTCEUR=BTC-EUR MANAUSDC=MANA-USDC
BYBIT-SPOT TRBUSDT=TRB-USDT XUSDUSDT=XUSD-USDT BTCXUSD=BTC-XUSD METHETH=METH-ETH BBSOLUSDT=BBSOL-USDT USDTBRL=USDT-BRL
GEMINI MOGUSD=MOG-USD MOGGUSD=MOG-GUSD MOODENGUSD=MOODENG-USD MOODENGGUSD=MOODENG-GUSD
GEMINI PAXGUSD=PAXG-USD PAXGGUSD=PAXG-GUSD WCFGUSD=WCFG-USD CFGUSD=CFG-USD MONGUSD=MONG-USD
GEMINI XRPGUSD=XRP-GUSD OPGUSD=OP-GUSD LDOGUSD=LDO-GUSD RENGUSD=REN-GUSD SHIBGUSD=SHIB-GUSD SHIBUSD=SHIB-USD
GEMINI GUSDUSD=GUSD-USD GUSDSGD=GUSD-SGD USDTGUSD=USDT-GUSD RLUSDUSD=RLUSD-USD EFILFIL=EFIL-FIL USTUSD=UST-USD
HITBTC BATUSD=BAT-USD BTCTUSD=BTC-TUSD BNBUSD=BNB-USD BTCBUSD=BTC-BUSD OMGUSD=OMG-USD BTCGUSD=BTC-GUSD
HITBTC USDTGUSD=USDT-GUSD DGBUSD=DGB-USD VIBUSD=VIB-USD SUBUSD=SUB-USD BTGUSD=BTG-USD TNTUSD=TNT-USD
HITBTC NXTUSD=NXT-USD BTCAUSD=BTCA-USD
HITBTC TUSDUSD=TUSD-USD GUSDUSD=GUSD-USD ETHEURS=ETH-EURS
HUOBI BTCHUSD=BTC-HUSD TUSDHUSD=TUSD-HUSD BTCTUSD=BTC-TUSD TRXUSDD=TRX-USDD BTCEURT=BTC-EURT HTUSDT=HT-USDT
""")


@pytest.mark.parametrize(("venue", "vendor_symbol", "pair"), FACTS, ids=lambda word: word)
def test_a_listed_symbol_has_the_base_and_the_quote_that_its_venue_says(
    venue: str, vendor_symbol: str, pair: str
) -> None:
    parsed, _ = parse_symbol(venue, "SPOT_PAIR", vendor_symbol)
    assert (parsed.symbol, f"{parsed.base}-{parsed.quote}") == (pair, pair)


@pytest.mark.parametrize(
    ("vendor_symbol", "pair"),
    [("MOGGUSDPERP", "MOG-GUSD"), ("MOODENGGUSDPERP", "MOODENG-GUSD"), ("OPGUSDPERP", "OP-GUSD")],
)
def test_a_perpetual_of_gemini_is_split_as_its_pairs_are(vendor_symbol: str, pair: str) -> None:
    assert parse_symbol("GEMINI", "PERPETUAL", vendor_symbol)[0].symbol == pair


LISTING = Path(__file__).parents[3] / "shared/cases/binance-spot-base-quote.tsv"


@pytest.mark.skipif(not LISTING.is_file(), reason="Binance's listing is kept beside the repository, in shared/cases")
def test_every_pair_of_a_listing_of_binance_is_split_as_listed() -> None:
    rows = [line.split("\t") for line in LISTING.read_text().splitlines()]
    parsed = {symbol: parse_symbol("BINANCE", "SPOT_PAIR", symbol)[0] for symbol, _, _ in rows}
    assert [(symbol, parsed[symbol].base, parsed[symbol].quote) for symbol, _, _ in rows] == [
        tuple(row) for row in rows
    ]
    assert len(rows) > 1000
