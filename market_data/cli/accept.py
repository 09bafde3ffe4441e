"""`market-data accept`: hold what this project assumes of the vendor against the vendor itself."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from market_data.accept import about_files, about_metadata
from market_data.accept.assumption import Judged, Verdict, judge
from market_data.accept.observe import Wish, observe
from market_data.accept.report import make_report
from market_data.cli.fitted_table import Column, FittedTable
from market_data.cli.tables import make_console
from market_data.demo.vendor_at_hand import open_vendor
from market_data.lake.open import open_lake
from market_data.lake.origin import ensure_origin
from market_data.model.venues import parse_venue
from market_data.settings.environment import load_settings
from market_data.vendor.client import TardisClient
from market_data.vendor.probe import Probe

# All nine data types, and the forms that differ most.
_VENUES = (
    "binance",
    "binance-futures",
    "binance-delivery",
    "bitmex",
    "bybit",
    "bybit-options",
    "coinbase",
    "cryptofacilities",
    "deribit",
    "hyperliquid",
    "kraken",
    "okex-options",
    "okex-swap",
)
_COLOURS = {Verdict.AS_ASSUMED: "green", Verdict.DIFFERENT: "red", Verdict.NOT_SEEN: "yellow"}
_SHOWN = 2


@click.command("accept")
@click.option("--venue", "venues", multiple=True, metavar="VENUE", help=f"Venues [default: {', '.join(_VENUES)}].")
@click.option(
    "--free-days", type=click.IntRange(1, 60), default=1, show_default=True, help="First days of months of each."
)
@click.option("--largest", is_flag=True, help="Take the longest file of a few instead of the shortest.")
@click.option("--most-mb", type=click.IntRange(1), default=50, show_default=True, help="Take no file that is longer.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), default=Path("accept.json"), show_default=True
)
def accept_command(*, venues: tuple[str, ...], free_days: int, largest: bool, most_mb: int, report: Path) -> None:
    """Hold what is assumed of the vendor against what it answers, without a key: first days of months are free.

    Files go through the real pipeline into a lake that is deleted at the end. Exit code 1 where something is different.
    """
    wish = Wish([parse_venue(name) for name in venues or _VENUES], free_days, largest, most_mb * 10**6)
    console = make_console()
    with open_vendor(load_settings()) as settings, tempfile.TemporaryDirectory(prefix="market_data-accept-") as folder:
        console.print(f"vendor {escape(settings.api_url)} and {escape(settings.datasets_url)}, no key")
        lake = open_lake((Path(folder) / "lake").as_uri())
        ensure_origin(lake, "accept")
        evidence = observe(
            lake,
            lambda: Probe(settings.api_url),
            lambda: TardisClient(api_url=settings.api_url, datasets_url=settings.datasets_url, api_key=None),
            wish,
            lambda line: console.print(escape(_fit_for_a_screen(line))),
        )
    judged = judge(evidence, (*about_metadata.ASSUMPTIONS, *about_files.ASSUMPTIONS))
    about = {
        "vendor": [settings.api_url, settings.datasets_url],
        "asked": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": version("market-data"),
        "venues": list(wish.venues),
    }
    report.write_text(make_report(judged, evidence, about), encoding="utf-8")
    _print(console, judged)
    counts = {verdict: sum(item.verdict is verdict for item in judged) for verdict in Verdict}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    console.print(f"{told}. The report, without rows and without a key: {escape(str(report))}")
    if counts[Verdict.DIFFERENT]:
        raise SystemExit(1)


def _fit_for_a_screen(text: str) -> str:
    """Return text of the vendor's without what a terminal obeys, or no encoding takes."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _print(console: Console, judged: list[Judged]) -> None:
    prose = [Column("assumed", is_kept=True, is_prose=True), Column("differences", is_kept=True, is_prose=True)]
    table = FittedTable([prose[0], Column("verdict", is_kept=True), Column("seen", "right"), Column("mark"), prose[1]])
    for item in judged:
        shown = [_fit_for_a_screen(words[:300]) for words in item.differences[:_SHOWN]]
        more = [f"and {len(item.differences) - _SHOWN} more"] if len(item.differences) > _SHOWN else []
        verdict = Text(item.verdict, style=_COLOURS[item.verdict])
        table.add_row(item.assumption.says, verdict, f"{item.seen:,}", item.assumption.mark, "\n".join(shown + more))
    console.print(table)
