"""BitMEX perpetuals, dated futures and spot pairs.

XBT is BTC, in the base and in the key. `XBTUSD` and `XBTEUR` are inverse; other contracts on USD (`ETHUSD`) are
quanto: quoted in USD, settled in BTC. `ETHUSD_ETH` spells another settlement: its key carries `@ETH`. A dated symbol
without quote (`ETHM19`) is quoted and settled in BTC, `XBTZ21` is the inverse contract on USD. Contracts on USDT are
settled in USDT; those listed before November 2021 were quanto then: their settlement is left open [U]. Dated
contracts end on the last Friday of the month letter's month at 12:00 UTC [U]. Amounts are contracts; on spot the unit
is unknown. Source: docs.tardis.dev, "Historical data details": BitMEX.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, time

from market_data.model.instruments import FUTURE, PERPETUAL, SPOT_PAIR, ParsedSymbol
from market_data.symbology.grammar import ASSET_CODES, contract, parse_last_friday, spot_pair
from market_data.symbology.quotes import quotes_of, split_pair

_NOON = time(12, tzinfo=UTC)
_QUOTES = quotes_of("USD USDT USDC EUR")
_DATED = re.compile(r"(.+)([FGHJKMNQUVXZ][0-9]{2})")
_FIRST_USDT_MARGINED = date(2021, 11, 1)


def parse(
    vendor_symbol: str, instrument_type: str, first_day: date | None, last_day: date | None
) -> ParsedSymbol | None:
    """`XBTUSD` -> BTC-USD, `ETHUSDM22_ETH` -> ETH-USD@ETH-220624, `ETHM19` -> ETH-BTC-190628."""
    del last_day
    body, separator, suffix = vendor_symbol.partition("_")
    if separator and not suffix:
        return None
    if instrument_type == SPOT_PAIR:
        pair = spot_pair(_asset(body), _asset(suffix))
        return replace(pair, amount_unit=None) if pair else None
    expiry = None
    if instrument_type == FUTURE:
        match = _DATED.fullmatch(body)
        expiry = parse_last_friday(match[2], _NOON) if match else None
        if match is None or expiry is None:
            return None
        body = match[1]
    elif instrument_type != PERPETUAL:
        return None
    return _parse_contract(body, suffix, expiry, first_day)


def _asset(code: str) -> str:
    return ASSET_CODES.get(code, code)


def _parse_contract(body: str, suffix: str, expiry: datetime | None, first_day: date | None) -> ParsedSymbol | None:
    split = split_pair(body, _QUOTES)
    if split is None:  # `ETHM19`, `XBTZ21`: only dated contracts leave their quote out
        base, quote = _asset(body), "USD" if body == "XBT" else "BTC"
        return contract(base, quote, "BTC", "contracts", expiry=expiry) if expiry and not suffix else None
    base, quote = _asset(split[0]), split[1]
    if expiry and not suffix and (base, quote) == ("BTC", "USD"):
        return None  # that contract is called `XBTZ21`
    if suffix:
        return contract(base, quote, _asset(suffix), "contracts", expiry=expiry, margin=_asset(suffix))
    if quote in {"USD", "EUR"}:
        return contract(base, quote, "BTC", "contracts", expiry=expiry)
    linear = contract(base, quote, quote, "contracts", expiry=expiry)
    is_maybe_quanto = first_day is not None and first_day < _FIRST_USDT_MARGINED
    return replace(linear, settlement_asset=None, contract_kind=None) if linear and is_maybe_quanto else linear
