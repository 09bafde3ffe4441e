"""Deribit with as many symbols as the real one: more expiries, a dense ladder of strikes, and combos, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice, pairwise

from market_data.simulator.market.prices import trend_price
from market_data.simulator.vendor.catalogue import DAY, Listing
from market_data.simulator.venues.deribit import COMBOS_SINCE, make_combo, make_option
from market_data.simulator.venues.expiries import is_friday, is_quarter_end, short_date
from market_data.simulator.venues.listings import decimal_text

_CURRENCIES = ("BTC", "ETH")
_OPTION_SHARE = 0.8
_LONGEST_LEAD = timedelta(days=182)
_SPARE = 3  # strikes beyond the number needed: some are listed already, some round to their neighbour
_CODES = ("CS", "PS", "RR", "STRG", "CSR12", "PSR12", "CDIAG")  # of about 33
_LOWEST, _HIGHEST = 0.5, 1.7  # strikes as shares of the price


@dataclass(frozen=True, slots=True)
class _Chain:
    currency: str
    listed: date
    expiry: date

    def strikes(self, count: int) -> list[float]:
        price = trend_price(self.currency, self.listed)
        shares = [_LOWEST + (_HIGHEST - _LOWEST) * step / count for step in range(count)]
        return list(dict.fromkeys(float(f"{price * share:.4g}") for share in shares))


def _chains(since: date, until: date) -> list[_Chain]:
    """Return the chains listed from `since` and before `until`, the newest expiry first: one a day and currency."""
    chains = []
    expiry = until + _LONGEST_LEAD
    while expiry > since:
        days = 182 if is_quarter_end(expiry) else 14 if is_friday(expiry) else 2
        listed = max(expiry - timedelta(days=days), since)
        if listed < until:
            chains += [_Chain(currency, listed, expiry) for currency in _CURRENCIES]
        expiry -= DAY
    return chains


def _options(chains: list[_Chain], wanted: int) -> Iterator[Listing]:
    strikes = wanted // (2 * len(chains)) + _SPARE
    for chain in chains:
        for strike in chain.strikes(strikes):
            for option_type in ("call", "put"):
                yield make_option(chain.currency, chain.expiry, chain.listed, strike, option_type)


def _combos(chains: list[_Chain], wanted: int) -> Iterator[Listing]:
    strikes = wanted // (len(_CODES) * len(chains)) + _SPARE
    for chain in chains:
        texts = [decimal_text(strike) for strike in chain.strikes(strikes)]
        for low, high in pairwise(texts):
            for code in _CODES:
                symbol = f"{chain.currency}-{code}-{short_date(chain.expiry)}-{low}_{high}"
                yield make_combo(chain.currency, symbol, chain.listed, chain.expiry)


def more_listings(ordinary: list[Listing], symbols: int, since: date, until: date) -> list[Listing]:
    """Return what must be listed beside `ordinary` so that Deribit has `symbols` rows listed before `until`."""
    missing = max(0, symbols - sum(listing.since < until for listing in ordinary))
    taken = {listing.symbol for listing in ordinary}
    combo_chains = _chains(COMBOS_SINCE, until) if until > COMBOS_SINCE else []
    combos_wanted = missing - round(missing * _OPTION_SHARE) if combo_chains else 0
    combos = list(islice(_combos(combo_chains, combos_wanted), combos_wanted)) if combos_wanted else []
    options_wanted = missing - len(combos)
    options = _options(_chains(since, until), options_wanted) if options_wanted else iter(())
    return [*islice((option for option in options if option.symbol not in taken), options_wanted), *combos]
