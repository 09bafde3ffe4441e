"""Dollars from bytes and operations, and that the README says what they come to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from market_data.operate.costs import ARCHIVE, GOOGLE, STANDARD, Volume, cost_of
from market_data.operate.estimates import decoding_hours

README = Path(__file__).parents[2] / "README.md"
GIBIBYTE = 1 << 30
# Published sizes of a day's files, in MB, as in the README: BTCUSDT of binance-futures (incremental_book_L2,
# book_ticker, trades, quotes), BTC-USDT-SWAP of okex-swap and BTCUSDT of bybit (incremental_book_L2).
FILES_MB = (748.4, 251.0, 55.0, 25.0, 253.4, 124.1)
VENUES = 3
DAYS = 365
PUBLISHED_SHARE = 0.75  # Parquet of one copy, of the vendor's gzip; in the README


def test_a_gibibyte_of_raw_and_of_each_copy_is_paid_each_month() -> None:
    volume = Volume(raw_bytes=10 * GIBIBYTE, copy_bytes=5 * GIBIBYTE, files=0, units=0, runs=0)
    months = [cost_of(volume, layouts).month for layouts in (1, 2, 3)]
    assert months == pytest.approx([0.30, 0.40, 0.50])
    assert cost_of(volume, 1, raw_class=ARCHIVE).month == pytest.approx(10 * 0.0012 + 5 * 0.020)
    assert cost_of(volume, 3).once == 0


def test_a_copy_inside_the_store_is_an_operation_like_an_upload() -> None:
    one, two = (cost_of(Volume(0, 0, files=1000, units=0, runs=0), layouts).once for layouts in (1, 2))
    assert two - one == pytest.approx(GOOGLE.class_a + GOOGLE.class_b)
    assert one == pytest.approx(2 * GOOGLE.class_a + GOOGLE.class_b)


def test_the_prices_say_where_and_when_they_were_read() -> None:
    assert GOOGLE.source.startswith("https://")
    assert GOOGLE.gib_month[STANDARD] > GOOGLE.gib_month["Nearline"] > GOOGLE.gib_month[ARCHIVE] > 0


def test_the_readme_says_what_a_year_of_published_sizes_costs() -> None:
    raw_bytes = sum(FILES_MB) * 1e6 * DAYS
    units = len(FILES_MB) * DAYS  # a file is a unit of its own here
    volume = Volume(raw_bytes, PUBLISHED_SHARE * raw_bytes, files=units, units=units, runs=VENUES * DAYS)
    costs = [cost_of(volume, layouts) for layouts in (1, 2, 3)]
    months = ", ".join(f"${cost.month:.2f}" for cost in costs)
    operations = ", ".join(f"${cost.once:.2f}" for cost in costs)
    readme = re.sub(r"\s+", " ", README.read_text(encoding="utf-8"))
    assert f"{months} a month with 1, 2, 3 layouts" in readme
    assert f"{operations} once for operations" in readme
    assert f"Parquet taken as {PUBLISHED_SHARE} of its gzip" in readme
    assert f"{raw_bytes / 1e9:.0f} GB of vendor's bytes" in readme
    assert f"raw/ in {ARCHIVE} ${cost_of(volume, 1, raw_class=ARCHIVE).month:.2f} with 1" in readme
    assert f"{GOOGLE.store} in {GOOGLE.region}, list prices of {GOOGLE.read_on}" in readme


def test_sixty_gigabytes_of_gzip_are_two_hours_of_a_core() -> None:
    assert decoding_hours(60e9, cores=1) == pytest.approx(2.0)
    assert decoding_hours(60e9, cores=2) == pytest.approx(1.0)
