"""What needs a person, on the asset page in a real browser, as large as a laptop's screen."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page

from market_data.demo.local_dagster import LocalDagster, run_dagster
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data_tests.patience import wait_until
from market_data_tests.simulated import simulated_environment
from market_data_tests.ui.test_ui import open_page, page, screenshot

__all__ = ["page"]  # the fixture

pytestmark = pytest.mark.ui

DAY = datetime.now(UTC).date() - timedelta(days=3)
SHOWN = """{ assetOrError(assetKey: {path: ["needs_a_person"]}) {
  ... on Asset { assetMaterializations(limit: 1) { metadataEntries { label } } } } }"""


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDagster]:
    """Of the vendor's venues one refuses the key, and one is late."""
    directory = tmp_path_factory.mktemp("needs")
    venues_file = directory / "venues.yaml"
    document = {
        "start_date": (DAY - timedelta(days=5)).isoformat(),
        "end_date": DAY.isoformat(),
        "venues": {
            "binance": {"data_types": ["trades"], "include": ["BTCUSDT"]},
            "deribit": {"data_types": ["trades"], "instrument_types": ["PERPETUAL"]},
        },
        "automation": {"check_every_seconds": 3},
    }
    venues_file.write_text(yaml.safe_dump(document))
    refuse = {"match": "*/binance/*.csv.gz", "attempts": "all", "action": "status", "code": 401, "error_code": 11}
    with run_simulator(SimulatorOptions(scale=0.05, faults=[refuse])) as simulator:
        clock = datetime.combine(DAY + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=7)
        simulator.set_clock(clock, late={"deribit": DAY})
        environment = simulated_environment(directory, simulator, MARKET_DATA_AUTOMATION="on")
        with run_dagster(directory / "home", environment, port=0, log=Path(directory / "dagster.log")) as running:
            yield running


def test_a_person_sees_what_to_do_without_a_click(dagster: LocalDagster, page: Page) -> None:
    page.set_viewport_size({"width": 1366, "height": 768})
    wanted = {f"BINANCE {DAY}: key refused", f"DERIBIT {DAY}: venue late"}

    def is_shown() -> bool:
        shown = dagster.ask(SHOWN)["assetOrError"].get("assetMaterializations")
        return bool(shown) and wanted <= {entry["label"] for entry in shown[0]["metadataEntries"]}

    wait_until(is_shown, "the page has both entries", look_every_seconds=1)
    open_page(page, f"{dagster.url}/assets/needs_a_person")
    page.get_by_text("2 entries need a person: 1 error, 1 warning").first.wait_for()
    page.get_by_text(f"market-data backfill --venue binance --from {DAY} --to {DAY}").first.wait_for()
    page.get_by_text("Latest check results").wait_for()
    screenshot(page, "9-needs-a-person")
    page.get_by_text("it is launched by itself as soon as it is exported").first.scroll_into_view_if_needed()
    screenshot(page, "10-needs-a-person-below")
