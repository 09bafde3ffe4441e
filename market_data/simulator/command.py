"""The command `market-data simulator`."""

from __future__ import annotations

from pathlib import Path

import click

from market_data.errors import ConfigurationError
from market_data.simulator.faults import load_faults
from market_data.simulator.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, serve

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("simulator")
@click.option("--port", default=8020, show_default=True, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option("--files", type=_DIRECTORY, help="Serve the tick files of this directory instead of generated ones.")
@click.option("--faults", type=_FILE, help="YAML or JSON file of fault rules.")
@click.option("--seed", default=1, show_default=True, help="Another seed gives other prices and rows.")
@click.option("--clock", help="ISO 8601 instant at which the simulated time stands still; default: real UTC.")
@click.option(
    "--key", "keys", multiple=True, default=(DEFAULT_KEY,), show_default=True, help="Accepted key; repeatable."
)
@click.option("--scale", default=1.0, show_default=True, help="Factor on the rows of generated files.")
@click.option("--redirect/--no-redirect", default=False, help="Send downloads to a second origin, as the vendor does.")
def simulator_command(
    *,
    port: int,
    files: Path | None,
    faults: Path | None,
    seed: int,
    clock: str | None,
    keys: tuple[str, ...],
    scale: float,
    redirect: bool,
) -> None:
    """Serve a Tardis-compatible vendor on this machine: generated data, scripted faults."""

    def announce(running: RunningSimulator) -> None:
        click.echo(f"simulator ready at {running.api_url}")

    try:
        rules = load_faults(faults) if faults else ()
        options = SimulatorOptions(seed, clock, files, rules, keys, scale, redirect)
        serve(options, port, announce)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot listen on port {port}: {error}") from error
