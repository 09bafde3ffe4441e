"""The command `market-data`."""

from __future__ import annotations

import click

from market_data.simulator.command import simulator_command


@click.group()
@click.version_option(package_name="market-data")
def main() -> None:
    """Daily tick files of crypto venues, as a proven Parquet lake."""


main.add_command(simulator_command)
