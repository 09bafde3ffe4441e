"""An analyst's backfill in the UI, in a real browser: 30 days of 4 venues, watched to its end, and then its pages.

One file of one day is not to be had, so that a failed partition is looked at too.

Screenshots are the test's output: `.market_data/ui/`. Needs Chromium (`chromium` or `google-chrome` on PATH).
"""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, sync_playwright

from market_data.demo.local_dagster import LocalDagster, run_dagster
from market_data.simulator.http.server import SimulatorOptions, run_simulator
from market_data_tests.simulated import simulated_environment

pytestmark = pytest.mark.ui

SCREENSHOTS = Path(".market_data/ui")
LAST_DAY = datetime.now(UTC).date() - timedelta(days=3)
DAYS = [LAST_DAY - timedelta(days=back) for back in reversed(range(30))]
VENUES = {
    "binance": {"data_types": ["trades", "quotes"], "include": ["BTC*"]},
    "binance-futures": {"data_types": ["trades", "derivative_ticker"], "include": ["BTC*"]},
    "binance-delivery": {"data_types": ["trades", "liquidations"], "include": ["BTC*"]},
    # an hour's silence is normal; here a second's is a finding, so that a failed check can be opened
    "deribit": {
        "data_types": ["trades", "quotes"],
        "instrument_types": ["PERPETUAL"],
        "quality": {"quotes": {"silence": {"limit": 1}}},
    },
}
FAILED_DAY = DAYS[-5]
FAULT = {"match": f"*/binance-delivery/trades/{FAILED_DAY:%Y/%m/%d}/*", "action": "status", "code": 503}
DEADLINE_SECONDS = 1200
COVERAGE = """{ assetOrError(assetKey: {path: ["coverage"]}) {
  ... on Asset { assetMaterializations(limit: 1) { runId } } } }"""
NEWEST_BACKFILL = "{ partitionBackfillsOrError(limit: 1) { ... on PartitionBackfills { results { id status } } } }"


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDagster]:
    directory = tmp_path_factory.mktemp("ui")
    venues_file = directory / "venues.yaml"
    venues_file.write_text(yaml.safe_dump({"start_date": DAYS[0].isoformat(), "venues": VENUES}))
    with run_simulator(SimulatorOptions(scale=0.05)) as simulator:
        simulator.set_faults([FAULT])
        environment = simulated_environment(directory, simulator)
        with run_dagster(directory / "home", environment, port=0, log=directory / "dagster.log") as running:
            yield running


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("no chromium or google-chrome on PATH: install one to drive the UI")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser.new_page(viewport={"width": 1366, "height": 768})
        browser.close()


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_load_state("networkidle")
    skip = page.get_by_role("button", name="Skip")
    if skip.count():
        skip.first.click()


def screenshot(page: Page, name: str) -> None:
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def wait_for_backfill(dagster: LocalDagster, page: Page) -> str:
    """Watch the newest backfill on its page until it has ended; return its status."""
    (backfill,) = dagster.ask(NEWEST_BACKFILL)["partitionBackfillsOrError"]["results"]
    open_page(page, f"{dagster.url}/runs/b/{backfill['id']}")
    deadline = time.monotonic() + DEADLINE_SECONDS
    seen_at_work = False
    while True:
        (backfill,) = dagster.ask(NEWEST_BACKFILL)["partitionBackfillsOrError"]["results"]
        if backfill["status"] not in {"REQUESTED", "CANCELING", "FAILING"}:
            break
        assert time.monotonic() < deadline, f"the backfill is still {backfill['status']}"
        page.wait_for_timeout(5_000)
        if not seen_at_work and "In progress" in page.inner_text("body"):
            screenshot(page, "3-at-work")
            seen_at_work = True
    page.reload()
    page.wait_for_timeout(3_000)
    screenshot(page, "4-ended")
    return str(backfill["status"])


def newest_coverage(dagster: LocalDagster) -> list[dict[str, str]]:
    found: list[dict[str, str]] = dagster.ask(COVERAGE)["assetOrError"].get("assetMaterializations") or []
    return found


def draw_coverage_anew(dagster: LocalDagster, page: Page) -> None:
    """Click on Materialize; what the backfill drew, at its start, is older."""
    before = newest_coverage(dagster)
    page.get_by_role("button", name="Materialize").first.click()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while newest_coverage(dagster) == before:
        assert time.monotonic() < deadline, "the asset `coverage` was not materialised"
        page.wait_for_timeout(1_000)


def test_an_analyst_backfills_thirty_days_of_four_venues_in_the_ui(dagster: LocalDagster, page: Page) -> None:
    open_page(page, f"{dagster.url}/asset-groups/")
    page.get_by_role("button", name="Materialize all").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").first.fill(f"[{DAYS[0]}...{DAYS[-1]}]")
    dialog.get_by_role("textbox").first.press("Enter")
    dialog.get_by_text("30 partitions", exact=False).first.wait_for()
    screenshot(page, "1-dialog")
    dialog.get_by_role("button", name="Launch backfill").click()
    page.get_by_text("View backfill", exact=False).or_(
        page.get_by_text("Created backfill", exact=False)
    ).first.wait_for()
    screenshot(page, "2-launched")
    assert wait_for_backfill(dagster, page) == "COMPLETED_FAILED"  # one day of one venue

    open_page(page, f"{dagster.url}/assets/binance/raw/trades?view=partitions&partition={LAST_DAY}")
    page.get_by_text("OK 1/1, 0 empty, 0 failed").first.wait_for()
    assert "Materialized (30)" in page.inner_text("body")
    screenshot(page, "5-partition")

    open_page(page, f"{dagster.url}/assets/deribit/raw/quotes?view=checks&checkDetail=ticks_timing")
    page.get_by_text("silence: longest silence seconds", exact=False).first.wait_for()
    screenshot(page, "6-failed-check")

    open_page(page, f"{dagster.url}/assets/coverage")
    draw_coverage_anew(dagster, page)
    open_page(page, f"{dagster.url}/assets/coverage")
    page.get_by_text("a sign a day", exact=False).first.scroll_into_view_if_needed()
    assert "x incomplete" in page.inner_text("body")
    screenshot(page, "7-coverage")
    page.get_by_text("[Show Markdown]").first.click()
    page.locator("img[src^='data:image/png']").first.wait_for()
    page.wait_for_timeout(500)
    screenshot(page, "8-coverage-picture")


def test_the_page_of_a_layout_shows_columns_rows_and_how_to_read_it(dagster: LocalDagster, page: Page) -> None:
    open_page(page, f"{dagster.url}/assets/binance/by_date")
    page.get_by_text("scan_ticks", exact=False).first.wait_for()
    screenshot(page, "9-layout")
    page.get_by_text("see instruments.price_currency", exact=False).first.scroll_into_view_if_needed()
    screenshot(page, "10-layout-columns")
    open_page(page, f"{dagster.url}/assets/binance/by_date?view=partitions&partition={LAST_DAY}")
    page.get_by_text("and 4 more columns").last.scroll_into_view_if_needed()
    assert "BTCUSDT" in page.inner_text("body")
    screenshot(page, "11-layout-rows")
    open_page(page, f"{dagster.url}/assets/binance/by_date")
    page.get_by_role("button", name="Plots").first.click()
    page.get_by_text("MB of trades").first.scroll_into_view_if_needed()
    screenshot(page, "12-layout-plots")


def test_the_page_of_instruments_shows_the_first_of_them(dagster: LocalDagster, page: Page) -> None:
    open_page(page, f"{dagster.url}/assets/binance/instruments?view=partitions&partition={LAST_DAY}")
    page.get_by_text("first instruments").first.wait_for()
    screenshot(page, "13-instruments")


def test_a_failed_partition_says_why_on_its_assets_page(dagster: LocalDagster, page: Page) -> None:
    open_page(page, f"{dagster.url}/assets/binance_delivery/raw/trades?view=partitions&partition={FAILED_DAY}")
    page.get_by_text("did not materialize this asset", exact=False).first.wait_for()
    screenshot(page, "14-failed-partition")
    page.get_by_role("button", name="View all historical events").click()
    page.get_by_role("dialog").get_by_text(str(FAILED_DAY)).last.click()
    page.get_by_text("why it failed").first.wait_for()
    assert "vendor unavailable" in page.inner_text("body")
    screenshot(page, "15-why-it-failed")
    open_page(page, f"{dagster.url}/assets/binance_delivery/raw/trades?view=events")
    page.get_by_text(str(FAILED_DAY)).first.click()
    page.get_by_text("why it failed").first.wait_for()
    screenshot(page, "16-events")
