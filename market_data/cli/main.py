"""The command `market-data`."""

from __future__ import annotations

import signal

import click

from market_data.cli.accept import accept_command
from market_data.cli.backfill import backfill_command
from market_data.cli.commands import COMMANDS
from market_data.cli.compare import compare_command
from market_data.cli.keeping import KEEPING_COMMANDS
from market_data.cli.status import status_command
from market_data.cli.tables import make_console
from market_data.cli.why import why_command
from market_data.demo.vendor_at_hand import open_vendor
from market_data.errors import MarketDataError
from market_data.settings.environment import load_settings
from market_data.simulator.http.command import simulator_command


def _end_in_order(*_: object) -> None:
    """End on SIGTERM as on Ctrl-C, and stop the children; in a script's background SIGINT would be ignored."""
    raise KeyboardInterrupt


class _Commands(click.Group):
    """Shows errors raised on purpose as one text, without a stack trace."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except MarketDataError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands)
@click.version_option(package_name="market-data")
def main() -> None:
    """Daily tick files of crypto venues, as a proven Parquet lake."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end_in_order)


for command in (
    simulator_command,
    accept_command,
    backfill_command,
    status_command,
    why_command,
    compare_command,
    *COMMANDS,
    *KEEPING_COMMANDS,
):
    main.add_command(command)


@main.command()
def demo() -> None:
    """Fill a local lake through Dagster: 3 days of 3 venues from the embedded simulator."""
    from market_data.demo.story import run_demo  # noqa: PLC0415  loads Dagster

    run_demo(make_console())


@main.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=3000, show_default=True, help="Port of the UI on 127.0.0.1."
)
def dev(port: int) -> None:
    """Open the Dagster UI on what the settings name (after a demo in this directory: on the demo)."""
    from market_data.demo.local_dagster import run_dagster  # noqa: PLC0415  loads httpx

    settings = load_settings()
    click.echo(f"{settings.sources}, Dagster's home {settings.dagster_home}")
    with (
        open_vendor(settings) as served,
        run_dagster(settings.dagster_home, served.environment, port=port, log=None, is_shared=True) as dagster,
    ):
        pages = {
            "asset-groups": "the venues: open one, Materialize, and choose a range of days",
            "assets/coverage": "what the lake holds against what is expected, as a picture",
            "assets/needs_a_person": "what stands still until somebody does something",
            "runs": "what ran, and why it failed",
        }
        lines = [f"  {dagster.url}/{page:21} {what}" for page, what in pages.items()]
        click.echo("\n".join([f"\nThe UI is at {dagster.url} - end it with Ctrl-C\n", *lines, ""]))
        if dagster.process is not None:
            dagster.process.wait()
