"""The command `market-data`."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console

from market_data.commands import COMMANDS
from market_data.errors import MarketDataError
from market_data.simulator.command import simulator_command

_DEV_HOME = Path(".market_data/dagster")


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


for command in (simulator_command, *COMMANDS):
    main.add_command(command)


@main.command()
def demo() -> None:
    """Fill a local lake through Dagster: 3 days of 3 venues from the embedded simulator."""
    from market_data.demo.story import DEMO_DIRECTORY, DemoHome, run_demo  # noqa: PLC0415  loads Dagster

    console = Console()
    # a terminal wraps as it must; a file or a pipe gets lines wide enough for the tables
    run_demo(DemoHome(DEMO_DIRECTORY), console if console.is_terminal else Console(width=160))


@main.command()
@click.option("--port", default=3000, show_default=True, help="Port of the UI on 127.0.0.1.")
def dev(port: int) -> None:
    """Open the Dagster UI: on the demo's lake when there is one and no vendor is set, else on your own settings."""
    from market_data.demo.local_dagster import run_dagster  # noqa: PLC0415  loads httpx
    from market_data.demo.story import DEMO_DIRECTORY, DemoHome  # noqa: PLC0415  loads Dagster
    from market_data.settings import load_settings  # noqa: PLC0415
    from market_data.simulator.server import SimulatorOptions, run_simulator  # noqa: PLC0415  loads the web server

    demo_home = DemoHome(DEMO_DIRECTORY)
    is_own = any(os.environ.get(name) for name in ("MARKET_DATA_VENDOR", "TARDIS_API_KEY", "MARKET_DATA_LAKE_URL"))
    with ExitStack() as stack:
        if is_own or not demo_home.venues_file.exists():
            settings = load_settings()
            home = Path(os.environ.get("DAGSTER_HOME") or _DEV_HOME).absolute()
            click.echo(f"vendor {settings.origin}, lake {settings.lake_url}, venues file {settings.venues_file}")
            environment: dict[str, str] = {}
        else:
            click.echo(
                "Opening the demo (its lake, its runs, the simulator as vendor). For the real vendor set "
                "MARKET_DATA_VENDOR=tardis and TARDIS_API_KEY."
            )
            environment = demo_home.environment(stack.enter_context(run_simulator(SimulatorOptions())))
            home = demo_home.dagster
        dagster = stack.enter_context(run_dagster(home, environment, port=port, log=None))
        click.echo(f"\nThe UI is at {dagster.url} - end it with Ctrl-C\n")
        dagster.process.wait()
