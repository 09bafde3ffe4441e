"""What is read back of a unit while somebody else publishes it anew: one publication or the other, never both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from market_data.checks.facts import observe_unit
from market_data.checks.rules import UNIT_RULES
from market_data.ingest.venue_day import VenueDay
from market_data.lake.base import ObjectStat, TickLake
from market_data.lake.open import open_lake
from market_data.model.tick_file import DataTypeDay
from market_data_tests.fakes import SteppedLake
from market_data_tests.ingesting import DAY, TRADES, Vendor, plan_day, run_day

UNIT = DataTypeDay("BINANCE", TRADES, DAY)


@pytest.fixture
def plan(lake: TickLake, vendor: Vendor) -> VenueDay:
    plan = plan_day(lake, vendor)
    run_day(lake, vendor, plan)
    return plan


@pytest.mark.parametrize("moment", ["before the listing", "before the footers"])
@pytest.mark.usefixtures("retries_without_waits")
def test_a_unit_that_is_published_anew_meanwhile_is_looked_at_again(
    lake: TickLake, vendor: Vendor, plan: VenueDay, moment: str
) -> None:
    has_run = False

    def run_anew() -> None:
        nonlocal has_run
        if not has_run:
            has_run = True
            run_day(open_lake(lake.url), vendor, replace(plan, decoder_version="next", layouts=("by_venue",)))

    class Racing(SteppedLake):
        def list_objects(self, prefix: str, *, with_crc32c: bool = False) -> list[ObjectStat]:
            if moment == "before the listing":
                run_anew()
            return super().list_objects(prefix, with_crc32c=with_crc32c)

        def uri(self, key: str) -> str:
            if moment == "before the footers" and key.startswith("ticks/"):
                run_anew()
            return super().uri(key)

    facts = observe_unit(Racing(lake, lambda: None), UNIT)
    assert has_run
    assert facts.receipt is not None
    assert facts.receipt.decoder_version == "next"
    assert all(rule(facts).is_passed for rule in UNIT_RULES.values())
