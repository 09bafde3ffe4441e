"""The fair price of an instrument at any instant of a day, from its underlying's one price path."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import numpy as np

from market_data.simulator.market.options import YEAR_US, OptionValues, value_option, volatility_of
from market_data.simulator.market.prices import DAY_US, Floats, Ints, prices_at, to_quote
from market_data.simulator.vendor.catalogue import Listing, Terms

_CARRY_PER_YEAR = 0.06  # premium of dated futures over spot
_PERPETUAL_PREMIUM = 0.0003
_ROLLING_YEARS = 7 / 365  # what a rolling alias without a fixed expiry has left, at any time


@dataclass(frozen=True, slots=True)
class Market:
    """One instrument on one UTC day; times are microseconds since that midnight."""

    seed: int
    exchange_id: str
    listing: Listing
    day: date

    @property
    def terms(self) -> Terms:
        """The contract's terms; only generated listings have them."""
        if self.listing.terms is None:
            raise ValueError(f"{self.listing.symbol} has no terms: it is a group or a real file")
        return self.listing.terms

    @property
    def midnight_us(self) -> int:
        """The day's first microsecond since epoch."""
        return int(datetime.combine(self.day, time(), UTC).timestamp()) * 1_000_000

    @property
    def open_us(self) -> int:
        """When trading starts on this day: the listing instant on the first day, else midnight."""
        listing = self.terms.listing
        return self._since_midnight(listing) if listing is not None and listing.date() == self.day else 0

    @property
    def close_us(self) -> int:
        """When trading ends on this day: the expiry on the last day, else the next midnight."""
        expiry = self.terms.expiry
        return self._since_midnight(expiry) if expiry is not None and expiry.date() == self.day else DAY_US

    def _since_midnight(self, instant: datetime) -> int:
        return int(instant.timestamp()) * 1_000_000 - self.midnight_us

    def expiry_us(self) -> int:
        """Return the expiry in microseconds since epoch."""
        if self.terms.expiry is None:
            raise ValueError(f"{self.listing.symbol} does not expire")
        return int(self.terms.expiry.timestamp()) * 1_000_000

    def _years_left(self, times_us: Ints) -> Floats:
        if self.terms.expiry is None:
            return np.full(len(times_us), _ROLLING_YEARS)
        years: Floats = (self.expiry_us() - self.midnight_us - times_us) / YEAR_US
        return years

    def index_prices(self, times_us: Ints) -> Floats:
        """Return the underlying's price in the quote currency; in USD for what is quoted in its own base."""
        usd = prices_at(self.seed, self.terms.underlying, self.day, times_us) * self.terms.price_factor
        is_own_base = self.terms.quote == self.terms.base
        return usd if is_own_base else to_quote(self.seed, self.terms.quote, self.day, times_us, usd)

    def forward_prices(self, times_us: Ints) -> Floats:
        """Return the price of the underlying for delivery at this contract's expiry."""
        forwards: Floats = self.index_prices(times_us) * np.exp(_CARRY_PER_YEAR * self._years_left(times_us))
        return forwards

    def _perpetual_prices(self, times_us: Ints) -> Floats:
        premium = _PERPETUAL_PREMIUM * np.sin(2 * np.pi * times_us / DAY_US + self.day.toordinal())
        prices: Floats = self.index_prices(times_us) * (1 + premium)
        return prices

    def option_values(self, times_us: Ints) -> OptionValues:
        """Return Black-Scholes values in USD."""
        if self.terms.strike is None:
            raise ValueError(f"{self.listing.symbol} is not an option")
        forwards = self.forward_prices(times_us)
        years = self._years_left(times_us)
        moneyness = np.log(self.terms.strike / forwards)
        volatility = volatility_of(self.seed, self.terms.underlying, self.day, moneyness, years)
        return value_option(self.terms.option_type, self.terms.strike, forwards, years, volatility)

    def fair_prices(self, times_us: Ints) -> Floats:
        """Return the price around which the instrument trades, in its own quote currency."""
        match self.listing.instrument_type:
            case "spot":
                return self.index_prices(times_us)
            case "perpetual":
                return self._perpetual_prices(times_us)
            case "future":
                return self.forward_prices(times_us)
            case "combo":
                return self.forward_prices(times_us) - self._perpetual_prices(times_us)
            case "option":
                values = self.option_values(times_us)
                return values.price / self.forward_prices(times_us) if self.terms.is_inverse else values.price
            case "prediction":
                prices = self.index_prices(times_us)
                return prices / (1 + prices)  # a probability
            case other:
                raise ValueError(f"no prices for instrument type {other!r}")
