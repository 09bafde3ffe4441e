"""Black-Scholes on the price path: marks and greeks. Volatilities are in percent, times in years."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from market_data.simulator.market.prices import Floats, random_stream

YEAR_US = 365 * 86_400 * 1_000_000
_SHORTEST_YEARS = 1 / (365 * 24 * 60)  # a minute: keeps the last minutes before expiry finite


@dataclass(frozen=True, slots=True)
class OptionValues:
    """Values of one option at several instants; price, vega, theta and rho in USD."""

    price: Floats
    delta: Floats
    gamma: Floats
    vega: Floats  # per percent of volatility
    theta: Floats  # per day
    rho: Floats  # per percent of rate
    volatility: Floats  # percent


def _normal_cdf(x: Floats) -> Floats:
    # Abramowitz and Stegun 7.1.26 on x / sqrt(2): error below 1.5e-7, and numpy has no erf.
    z = np.abs(x) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    tail = poly * np.exp(-z * z) / 2
    cdf: Floats = np.where(x >= 0, 1 - tail, tail)
    return cdf


def volatility_of(seed: int, underlying: str, day: date, moneyness: Floats, years: Floats) -> Floats:
    """Return a smile in percent: a level of the day, skewed to low strikes, steeper for short expiries."""
    level = 45 + 25 * random_stream(seed, "volatility", underlying, day).random()
    scaled = moneyness / np.sqrt(np.maximum(years, 1 / 365))
    smile: Floats = np.clip(level - 4 * scaled + 6 * scaled * scaled, 15, 250)
    return smile


def value_option(option_type: str, strike: float, forward: Floats, years: Floats, volatility: Floats) -> OptionValues:
    """Return price and greeks with a rate of zero on the forward; `volatility` in percent."""
    years = np.maximum(years, _SHORTEST_YEARS)
    sigma = volatility / 100
    spread = sigma * np.sqrt(years)
    d1 = np.log(forward / strike) / spread + spread / 2
    d2 = d1 - spread
    density = np.exp(-d1 * d1 / 2) / np.sqrt(2 * np.pi)
    sign = 1.0 if option_type == "call" else -1.0
    cdf1, cdf2 = _normal_cdf(sign * d1), _normal_cdf(sign * d2)
    return OptionValues(
        price=np.maximum(sign * (forward * cdf1 - strike * cdf2), 0.0),
        delta=sign * cdf1,
        gamma=density / (forward * spread),
        vega=forward * density * np.sqrt(years) / 100,
        theta=-forward * density * sigma / (2 * np.sqrt(years)) / 365,
        rho=sign * strike * years * cdf2 / 100,
        volatility=volatility,
    )
