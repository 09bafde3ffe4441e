"""What holds for every symbol: parsers are total, keys are stable, and no two symbols share one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from market_data.model.instruments import INSTRUMENT_TYPES, unparsed_symbol
from market_data.model.venues import VENUES
from market_data.symbology import bitfinex, parse_symbol
from market_data_tests.symbology.test_symbology_examples import GOLDEN, GOLDEN_BY_AVAILABILITY

CANONICAL = re.compile(r"[^-]+-[^-]+(-[0-9]{6}(-[0-9.]+-(CALL|PUT))?)?")
FIRST_DAY, LAST_DAY = date(2020, 1, 1), date(2020, 2, 20)
SYMBOLS = {
    (venue, instrument_type): sorted(
        {row.vendor_symbol for row in GOLDEN + GOLDEN_BY_AVAILABILITY if row[:2] == (venue, instrument_type)}
    )
    for venue, instrument_type in {row[:2] for row in GOLDEN}
}

ALL_SYMBOLS = sorted({symbol for symbols in SYMBOLS.values() for symbol in symbols})

venues = st.sampled_from(VENUES)
instrument_types = st.sampled_from([*INSTRUMENT_TYPES, "SWAPTION"])
availability = st.none() | st.tuples(st.dates(date(2019, 1, 1), date(2027, 1, 1)), st.integers(0, 1500)).map(
    lambda pair: (pair[0], pair[0] + timedelta(days=pair[1]))
)

PIECES = """
- _ ~ @ . / : M S U C P F0 XBT BTC XDG ETH USD USDT USDC UST BUSD _UM -USD -USDT -PERP _PERP PERP -SWAP -LIN
H24 Z24 M24 -240329 _240329 240329 -29MAR24 -0329 -20240329 -29000 -1D5 -0.5 -C -P -CW _CW _ETH PI_ FF_ SPOT_
0 1 9 Ł ٣
""".split()


def near_misses(symbol: str) -> Iterator[str]:
    """Every symbol that is one edit away: up to three characters replaced by a piece or by nothing."""
    for start in range(len(symbol) + 1):
        for end in range(start, min(len(symbol), start + 3) + 1):
            for piece in ("", *PIECES):
                yield symbol[:start] + piece + symbol[end:]


hostile_symbols = (
    st.text(max_size=30)
    | st.text(alphabet="-_~@:/. \x00\n", max_size=12)
    | st.tuples(st.sampled_from(ALL_SYMBOLS), st.sampled_from(PIECES), st.integers(0, 20)).map(
        lambda edit: edit[0][: edit[2]] + edit[1] + edit[0][edit[2] :]
    )
    | st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
)


@given(venues, instrument_types, hostile_symbols, availability)
@example("DERIBIT", "OPTION", "", None)
@example("DERIBIT", "OPTION", "BTC-25APR25-" + "9" * 100_000 + "-C", None)
@example("BYBIT", "PERPETUAL", "A" * 1_000_000 + "USDT", None)
@example("BITMEX", "FUTURE", "_" * 100_000, None)
@example("OKX-SPREADS", "COMBO", "-" * 100_000, None)
@example("DELTA", "FUTURE", "U" * 50_000 + "_29MAR", None)
@example("DERIBIT", "FUTURE", "BTC-٥JAN٢٤", None)  # noqa: RUF001 - Unicode digits
@example("DERIBIT", "OPTION", "BTC-5JAN24-٣-C", None)
@example("DERIBIT", "FUTURE", "BTC-²JAN24", None)
@example("BINANCE", "SPOT_PAIR", "BTC\x00USDT", None)
@example("BINANCE", "SPOT_PAIR", "BTC\nUSDT", None)
@example("FTX", "FUTURE", "BTC-0000", (FIRST_DAY, LAST_DAY))
@example("POLYMARKET", "PREDICTION", "9" * 78, None)
@settings(max_examples=400)
def test_parsers_are_total_and_give_a_canonical_symbol_or_the_vendors_form(
    venue: str, instrument_type: str, vendor_symbol: str, listed: tuple[date, date] | None
) -> None:
    parsed, _ = parse_symbol(venue, instrument_type, vendor_symbol, *(listed or ()))
    if parsed.symbol == unparsed_symbol(vendor_symbol).symbol:
        return
    # So no parsed symbol is the unparsed form of another one: that never looks canonical, or begins with `~`.
    assert CANONICAL.fullmatch(parsed.symbol)
    assert "~" not in parsed.symbol
    assert parsed.symbol.isprintable()
    assert parsed.base
    assert parsed.quote
    assert (parsed.strike is None) == (parsed.option_type is None)
    assert parsed.strike is None or parsed.expiry is not None


@given(venues, instrument_types, hostile_symbols, hostile_symbols, availability)
@settings(max_examples=150)
def test_a_key_depends_on_its_own_symbol_only(
    venue: str, instrument_type: str, vendor_symbol: str, other: str, listed: tuple[date, date] | None
) -> None:
    before = parse_symbol(venue, instrument_type, vendor_symbol, *(listed or ()))
    parse_symbol(venue, instrument_type, other, *(listed or ()))
    assert parse_symbol(venue, instrument_type, vendor_symbol, *(listed or ())) == before


@given(venues.filter(lambda venue: venue not in {"FTX", "KRAKEN"}), instrument_types, hostile_symbols, availability)
@settings(max_examples=150)
def test_only_ftx_and_kraken_keys_depend_on_the_days_a_symbol_was_listed(
    venue: str, instrument_type: str, vendor_symbol: str, listed: tuple[date, date] | None
) -> None:
    undated, _ = parse_symbol(venue, instrument_type, vendor_symbol)
    dated, _ = parse_symbol(venue, instrument_type, vendor_symbol, *(listed or ()))
    assert dated.symbol == undated.symbol


@pytest.mark.parametrize("row", [row for row in GOLDEN if row.venue not in {"FTX", "KRAKEN"}], ids=lambda row: row[2])
def test_a_key_is_the_same_on_every_day_of_an_instruments_life(row: tuple[str, str, str]) -> None:
    venue, instrument_type, vendor_symbol = row[:3]
    first = date(2019, 3, 30)
    lives = [
        parse_symbol(venue, instrument_type, vendor_symbol, first, first + timedelta(days=n)) for n in (0, 9, 2000)
    ]
    assert {parsed.symbol for parsed, _ in lives} == {parse_symbol(venue, instrument_type, vendor_symbol)[0].symbol}


# Two spellings of one asset or one day, two orders of one pair: documented in the parsers.
_XBT = {"XBT": "BTC", "XDG": "DOGE"}
_CODES = dict.fromkeys(["KRAKEN", "CRYPTOFACILITIES", "BITMEX", "KUCOIN-FUTURES"], _XBT)
_ZERO_BEFORE_DAY = re.compile(r"-0([1-9][A-Z]{3}[0-9]{2}(-|$))")


def _without_aliases(venue: str, vendor_symbol: str) -> str:
    if venue == "POLONIEX":
        return "_".join(sorted(vendor_symbol.split("_")))
    if venue in {"BYBIT", "BYBIT-OPTIONS"}:
        return _ZERO_BEFORE_DAY.sub(r"-\1", vendor_symbol)
    if venue in {"BITFINEX", "BITFINEX-DERIVATIVES"}:
        codes = bitfinex.CODES | {f"{code}F0": f"{name}F0" for code, name in bitfinex.CODES.items()}
        assets = vendor_symbol.split("-") if "-" in vendor_symbol else [vendor_symbol[:3], vendor_symbol[3:]]
        return "-".join(codes.get(asset, asset) for asset in assets)
    for code, name in _CODES.get(venue, {}).items():
        vendor_symbol = vendor_symbol.replace(code, name)
    return vendor_symbol


@pytest.mark.parametrize("listed", [(), (FIRST_DAY, LAST_DAY)], ids=["undated", "dated"])
@pytest.mark.parametrize(("venue", "instrument_type"), sorted(SYMBOLS))
def test_no_two_symbols_of_a_venue_share_a_key(
    venue: str, instrument_type: str, listed: tuple[()] | tuple[date, date]
) -> None:
    vendor_symbols = {near_miss for symbol in SYMBOLS[venue, instrument_type] for near_miss in near_misses(symbol)}
    by_key: dict[str, str] = {}
    for vendor_symbol in sorted(vendor_symbols):
        key = parse_symbol(venue, instrument_type, vendor_symbol, *listed)[0].symbol
        other = by_key.setdefault(key, vendor_symbol)
        assert _without_aliases(venue, other) == _without_aliases(venue, vendor_symbol), (other, vendor_symbol, key)


class Terms(NamedTuple):
    """A canonical instrument; dates are those a family can spell."""

    base: str
    expiry: date
    friday: date
    strike: str
    side: str


def _last_friday(day: date) -> date:
    following = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    fridays = [following - timedelta(days=n) for n in range(1, 8)]
    return next(candidate for candidate in fridays if candidate.isoweekday() == 5)


_days = st.dates(date(2019, 1, 1), date(2039, 12, 31))
terms = st.builds(
    Terms,
    # letters that begin or end no quote, so that a symbol without separator has one reading
    base=st.from_regex(r"[1-9]{0,4}[AKVWY][AKLVWXY]{1,6}|[1-9][AKVWY]{2}|币安[AKV]{1,3}", fullmatch=True),
    expiry=_days,
    friday=_days.map(_last_friday),
    strike=st.from_regex(r"[1-9][0-9]{0,6}(\.[0-9]{1,4})?|0\.[0-9]{1,4}", fullmatch=True),
    side=st.sampled_from("CP"),
)
LETTERS = " FGHJKMNQUVXZ"


def _dmy(day: date) -> str:
    return f"{day.day}{day:%b%y}".upper()


def _letter(day: date) -> str:
    return f"{LETTERS[day.month]}{day:%y}"


# venue, type -> how the venue spells the instrument, and the pair and date of its key; an option adds strike and side
FAMILIES: dict[tuple[str, str], tuple[Callable[[Terms], str], Callable[[Terms], str]]] = {
    ("ASCENDEX", "PERPETUAL"): (lambda t: f"{t.base}-PERP", lambda t: f"{t.base}-USDT"),
    ("BINANCE", "SPOT_PAIR"): (lambda t: f"{t.base}FDUSD", lambda t: f"{t.base}-FDUSD"),
    ("BINANCE-DELIVERY", "FUTURE"): (
        lambda t: f"{t.base}USD_{t.expiry:%y%m%d}",
        lambda t: f"{t.base}-USD-{t.expiry:%y%m%d}",
    ),
    ("BINANCE-EUROPEAN-OPTIONS", "OPTION"): (
        lambda t: f"{t.base}-{t.expiry:%y%m%d}-{t.strike}-{t.side}",
        lambda t: f"{t.base}-USDT-{t.expiry:%y%m%d}",
    ),
    ("BINANCE-FUTURES", "FUTURE"): (
        lambda t: f"{t.base}USDT_{t.expiry:%y%m%d}",
        lambda t: f"{t.base}-USDT-{t.expiry:%y%m%d}",
    ),
    ("BITFINEX", "SPOT_PAIR"): (
        lambda t: f"{t.base}USD" if len(t.base) == 3 else f"{t.base}-USD",
        lambda t: f"{t.base}-USD",
    ),
    ("BITFINEX-DERIVATIVES", "PERPETUAL"): (lambda t: f"{t.base}F0-USTF0", lambda t: f"{t.base}-USDT"),
    ("BITMEX", "FUTURE"): (lambda t: f"{t.base}USDT{_letter(t.friday)}", lambda t: f"{t.base}-USDT-{t.friday:%y%m%d}"),
    ("BULLISH", "OPTION"): (
        lambda t: f"{t.base}-USDC-{t.expiry:%Y%m%d}-{t.strike}-{t.side}",
        lambda t: f"{t.base}-USDC-{t.expiry:%y%m%d}",
    ),
    ("BYBIT", "FUTURE"): (lambda t: f"{t.base}USD{_letter(t.friday)}", lambda t: f"{t.base}-USD-{t.friday:%y%m%d}"),
    ("BYBIT", "PERPETUAL"): (lambda t: f"{t.base}PERP", lambda t: f"{t.base}-USDC"),
    ("BYBIT-OPTIONS", "OPTION"): (
        lambda t: f"{t.base}-{_dmy(t.expiry)}-{t.strike}-{t.side}-USDT",
        lambda t: f"{t.base}-USDT-{t.expiry:%y%m%d}",
    ),
    ("COINBASE", "SPOT_PAIR"): (lambda t: f"{t.base}-USD", lambda t: f"{t.base}-USD"),
    ("COINFLEX", "FUTURE"): (
        lambda t: f"{t.base}-USD-{t.expiry:%y%m%d}-LIN",
        lambda t: f"{t.base}-USD-{t.expiry:%y%m%d}",
    ),
    ("CRYPTO-COM", "FUTURE"): (lambda t: f"{t.base}USD-{t.expiry:%y%m%d}", lambda t: f"{t.base}-USD-{t.expiry:%y%m%d}"),
    ("CRYPTOFACILITIES", "FUTURE"): (
        lambda t: f"FF_{t.base}USD_{t.expiry:%y%m%d}",
        lambda t: f"{t.base}-USD@USD-{t.expiry:%y%m%d}",
    ),
    ("DELTA", "OPTION"): (
        lambda t: f"{t.side}-{t.base}-{t.strike}-{t.expiry:%d%m%y}",
        lambda t: f"{t.base}-USD-{t.expiry:%y%m%d}",
    ),
    ("DERIBIT", "FUTURE"): (lambda t: f"{t.base}-{_dmy(t.expiry)}", lambda t: f"{t.base}-USD-{t.expiry:%y%m%d}"),
    ("DERIBIT", "OPTION"): (
        lambda t: f"{t.base}_USDC-{_dmy(t.expiry)}-{t.strike.replace('.', 'D')}-{t.side}",
        lambda t: f"{t.base}-USDC-{t.expiry:%y%m%d}",
    ),
    ("DYDX-V4", "PERPETUAL"): (lambda t: f"{t.base}-USD", lambda t: f"{t.base}-USD"),
    ("GATE-IO", "SPOT_PAIR"): (lambda t: f"{t.base}_USDT", lambda t: f"{t.base}-USDT"),
    ("GATE-IO-FUTURES", "PERPETUAL"): (lambda t: f"{t.base}_USDT", lambda t: f"{t.base}-USDT"),
    ("GEMINI", "PERPETUAL"): (lambda t: f"{t.base}GUSDPERP", lambda t: f"{t.base}-GUSD"),
    ("HUOBI-DM-OPTIONS", "OPTION"): (
        lambda t: f"{t.base}-USDT-{t.expiry:%y%m%d}-{t.side}-{t.strike}",
        lambda t: f"{t.base}-USDT-{t.expiry:%y%m%d}",
    ),
    ("HYPERLIQUID", "PERPETUAL"): (lambda t: t.base, lambda t: f"{t.base}-USDC"),
    ("KRAKEN", "SPOT_PAIR"): (lambda t: f"{t.base}-XBT", lambda t: f"{t.base}-BTC"),
    ("KUCOIN-FUTURES", "FUTURE"): (
        lambda t: f"{t.base}M{_letter(t.friday)}",
        lambda t: f"{t.base}-USD-{t.friday:%y%m%d}",
    ),
    ("OKX-FUTURES", "FUTURE"): (
        lambda t: f"{t.base}-USD_UM-{t.expiry:%y%m%d}",
        lambda t: f"{t.base}-USD@USD-{t.expiry:%y%m%d}",
    ),
    ("OKX-OPTIONS", "OPTION"): (
        lambda t: f"{t.base}-USD-{t.expiry:%y%m%d}-{t.strike}-{t.side}",
        lambda t: f"{t.base}-USD-{t.expiry:%y%m%d}",
    ),
    ("PHEMEX", "SPOT_PAIR"): (lambda t: f"S{t.base}USDT", lambda t: f"{t.base}-USDT"),
    ("POLONIEX", "SPOT_PAIR"): (lambda t: f"BTC_{t.base}", lambda t: f"{t.base}-BTC"),
    ("UPBIT", "SPOT_PAIR"): (lambda t: f"KRW-{t.base}", lambda t: f"{t.base}-KRW"),
    ("WOO-X", "PERPETUAL"): (lambda t: f"PERP_{t.base}_USDT", lambda t: f"{t.base}-USDT"),
}


@pytest.mark.parametrize(("venue", "instrument_type"), sorted(FAMILIES))
def test_an_instrument_comes_back_from_the_venues_spelling(venue: str, instrument_type: str) -> None:
    spell, pair_and_date = FAMILIES[venue, instrument_type]

    @given(terms)
    @settings(max_examples=25)
    def check(instrument: Terms) -> None:
        parsed, _ = parse_symbol(venue, instrument_type, spell(instrument))
        symbol = pair_and_date(instrument)
        if instrument_type == "OPTION":
            option_type = {"C": "CALL", "P": "PUT"}[instrument.side]
            assert (parsed.strike, parsed.option_type) == (instrument.strike, option_type)
            symbol += f"-{instrument.strike}-{option_type}"
        assert parsed.symbol == symbol
        assert parsed.base == instrument.base
        assert parsed.symbol.startswith(f"{parsed.base}-{parsed.quote}")
        has_date = re.search(r"-[0-9]{6}(-|$)", pair_and_date(instrument)) is not None
        assert (parsed.expiry is not None) == has_date
        if parsed.expiry:
            assert f"-{parsed.expiry:%y%m%d}" in symbol
            assert parsed.expiry.tzinfo is UTC

    check()


@given(st.dates(date(2019, 8, 1), date(2022, 11, 12)), st.integers(0, 270), st.integers(0, 5))
@settings(max_examples=100)
def test_an_ftx_contract_comes_back_with_its_year(first_day: date, lifetime_days: int, late_days: int) -> None:
    expiry = first_day + timedelta(days=lifetime_days)
    last_day = expiry + timedelta(days=late_days)
    parsed, _ = parse_symbol("FTX", "FUTURE", f"BTC-{expiry:%m%d}", first_day, last_day)
    assert parsed.symbol == f"BTC-USD-{expiry:%y%m%d}"
    assert parsed.expiry == datetime(expiry.year, expiry.month, expiry.day, 3, tzinfo=UTC)
