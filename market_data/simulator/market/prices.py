"""One price path per underlying: perpetuals, dated futures, spot and options of a coin all follow it.

The path is a trend between rough historical levels, a slow daily deviation, and a bridge of minute steps within the
day, so any day is computed alone and neighbouring days join. Prices are in USD, times in microseconds since midnight
UTC.
"""

from __future__ import annotations

import hashlib
from datetime import date
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MINUTE_US = 60_000_000
DAY_US = 1440 * MINUTE_US

_FIRST_DAY = date(2019, 1, 1)
_DAYS = 366 * 14
_PULL = 0.97  # share of a day's deviation from the trend that is left on the next day

# Rough levels in USD: enough for plausible strikes and tick sizes, no claim to be history.
_LEVELS: dict[str, tuple[tuple[str, float], ...]] = {
    "BTC": (
        ("2019-01-01", 3700), ("2019-07-01", 10500), ("2020-03-15", 5600), ("2020-10-01", 10800),
        ("2021-04-10", 58000), ("2021-07-20", 31000), ("2021-11-08", 65000), ("2022-06-18", 20000),
        ("2022-12-01", 16800), ("2023-10-15", 28000), ("2024-03-15", 69000), ("2024-09-01", 58500),
        ("2025-01-20", 102000), ("2025-04-08", 79000), ("2025-10-05", 121000), ("2026-06-01", 84000),
        ("2027-06-01", 110000),
    ),
    "ETH": (
        ("2019-01-01", 135), ("2019-07-01", 290), ("2020-03-15", 125), ("2020-10-01", 355),
        ("2021-05-10", 3900), ("2021-07-20", 1850), ("2021-11-08", 4700), ("2022-06-18", 1050),
        ("2023-04-15", 2050), ("2023-10-15", 1560), ("2024-03-12", 3950), ("2024-09-05", 2400),
        ("2024-12-15", 3850), ("2025-04-08", 1520), ("2025-08-20", 4500), ("2026-06-01", 2600),
        ("2027-06-01", 3400),
    ),
    "XRP": (
        ("2019-01-01", 0.36), ("2020-03-15", 0.15), ("2021-04-14", 1.7), ("2022-06-18", 0.32),
        ("2024-11-01", 0.51), ("2025-01-15", 3.0), ("2026-01-15", 1.95), ("2027-06-01", 2.4),
    ),
    "SHIB": (
        ("2019-01-01", 8e-06), ("2021-10-27", 7.2e-05), ("2022-06-18", 8.2e-06), ("2024-03-05", 3.3e-05),
        ("2027-01-01", 9.5e-06),
    ),
    "1INCH": (
        ("2019-01-01", 1.9), ("2021-05-01", 5.5), ("2022-06-18", 0.65), ("2024-03-12", 0.62),
        ("2027-01-01", 0.24),
    ),
    "ERD": (
        ("2019-01-01", 0.0021), ("2020-03-15", 0.0007), ("2020-09-01", 0.021),
    ),
    "MON": (
        ("2026-01-01", 0.031), ("2027-06-01", 0.047),
    ),
}  # fmt: skip
# Flat levels; whatever is in neither table gets one from its name.
_FLAT_LEVELS: dict[str, float] = {
    "SOL": 120, "BNB": 350, "DOGE": 0.12, "LTC": 85, "XMR": 160, "DASH": 45, "ETC": 22, "SUI": 2.1, "AAVE": 140,
    "HT": 4, "TSLA": 260, "AAPLX": 215, "XAUT": 2300, "PAXG": 2300, "TERRAUST": 1, "BTCDVOL": 55, "YES": 0.8,
}  # fmt: skip
_UNKNOWN_LEVELS = (0.05, 20.0)
# What one unit of a quote currency is worth in US dollars; any other one is a dollar. Coins follow their own path.
_FIAT_USD: dict[str, float] = {"EUR": 1.09, "GBP": 1.27, "BGBP": 1.27, "JPY": 1 / 150, "KRW": 1 / 1380}
_COIN_USD: dict[str, float] = {"BTC": 60_000, "ETH": 2800, "BNB": 350, "XMR": 160}
_DAILY_VOLATILITY: dict[str, float] = {"BTC": 0.022, "ETH": 0.03}
_OTHER_VOLATILITY = 0.045


def random_stream(*parts: object) -> np.random.Generator:
    """Return the random numbers that belong to these names: the same on each machine and in each order of calls."""
    digest = hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest)))


def daily_volatility(underlying: str) -> float:
    """Return the standard deviation of a day's log return."""
    return _DAILY_VOLATILITY.get(underlying, _OTHER_VOLATILITY)


def _flat_level(underlying: str) -> float:
    lowest, highest = _UNKNOWN_LEVELS
    share = float(random_stream("level", underlying).random())
    return _FLAT_LEVELS.get(underlying, float(lowest * (highest / lowest) ** share))


@cache
def _trend(underlying: str) -> Floats:
    levels = _LEVELS.get(underlying) or ((_FIRST_DAY.isoformat(), _flat_level(underlying)),)
    ordinals = [date.fromisoformat(day).toordinal() for day, _ in levels]
    days = _FIRST_DAY.toordinal() + np.arange(_DAYS)
    trend: Floats = np.interp(days, ordinals, np.log([price for _, price in levels]))
    return trend


def trend_price(underlying: str, day: date) -> float:
    """Return the level around which the price moves on a day; the same for every seed, so strikes can depend on it."""
    return float(np.exp(_trend(underlying)[(day - _FIRST_DAY).days]))


@lru_cache(maxsize=64)
def _openings(seed: int, underlying: str) -> Floats:
    steps = random_stream(seed, "daily", underlying).normal(0.0, daily_volatility(underlying), _DAYS)
    deviation = np.empty(_DAYS)
    level = 0.0
    for index, step in enumerate(steps):
        level = _PULL * level + step
        deviation[index] = level
    # A third of the deviation: the path stays near enough to the trend for the listed strikes to matter.
    openings: Floats = _trend(underlying) + deviation / 3
    return openings


@lru_cache(maxsize=256)
def _minute_logs(seed: int, underlying: str, day: date) -> Floats:
    index = (day - _FIRST_DAY).days
    opening, closing = _openings(seed, underlying)[index : index + 2]
    steps = random_stream(seed, "minutes", underlying, day).normal(0.0, 1.0, 1440)
    walk = np.concatenate(([0.0], np.cumsum(steps))) * daily_volatility(underlying) / np.sqrt(1440)
    share = np.linspace(0.0, 1.0, 1441)
    bridge: Floats = opening + (closing - opening) * share + walk - walk[-1] * share
    return bridge


def prices_at(seed: int, underlying: str, day: date, times_us: Ints) -> Floats:
    """Return the price in USD at microseconds since midnight of `day`."""
    logs = _minute_logs(seed, underlying, day)
    prices: Floats = np.exp(np.interp(times_us / MINUTE_US, np.arange(1441), logs))
    return prices


def rough_usd(quote: str) -> float:
    """Return about how many US dollars one unit of a quote currency is worth."""
    return _FIAT_USD.get(quote, _COIN_USD.get(quote, 1.0))


def to_quote(seed: int, quote: str, day: date, times_us: Ints, usd: Floats) -> Floats:
    """Return prices in US dollars as prices in a quote currency."""
    prices: Floats = usd / (prices_at(seed, quote, day, times_us) if quote in _COIN_USD else rough_usd(quote))
    return prices
