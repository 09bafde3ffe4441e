"""The command `market-data simulator`."""

from __future__ import annotations

from pathlib import Path

import click

from market_data.errors import ConfigurationError
from market_data.simulator.faults.faults import load_faults
from market_data.simulator.http.server import DEFAULT_KEY, RunningSimulator, SimulatorOptions, serve

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("simulator")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8750,
    show_default=True,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@click.option("--files", type=_DIRECTORY, help="Serve the tick files of this directory instead of generated ones.")
@click.option("--faults", type=_FILE, help="YAML or JSON file of fault rules.")
@click.option("--seed", default=1, show_default=True, help="Another seed gives other prices and rows.")
@click.option("--clock", help="ISO 8601 instant at which the simulated time stands still; default: real UTC.")
@click.option(
    "--key", "keys", multiple=True, default=(DEFAULT_KEY,), show_default=True, help="Accepted key; repeatable."
)
@click.option("--scale", default=1.0, show_default=True, help="Factor on the rows of generated files.")
@click.option("--redirect/--no-redirect", default=False, help="Send downloads to a second origin, as the vendor does.")
@click.option("--symbols", default=0, help="How many symbols Deribit lists; the real one: 330000.")
@click.option("--options-rows", default=0, help="Rows of an OPTIONS file of options_chain, streamed.")
@click.option("--latency-ms", default=0.0, help="Milliseconds that pass before each answer.")
@click.option("--bytes-per-second", default=0, help="Pace of each answer with data.")
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
    symbols: int,
    options_rows: int,
    latency_ms: float,
    bytes_per_second: int,
) -> None:
    """Serve a Tardis-compatible vendor on this machine: generated data, scripted faults."""

    def announce(running: RunningSimulator) -> None:
        click.echo(f"simulator ready at {running.api_url}")

    try:
        rules = load_faults(faults) if faults else ()
        options = SimulatorOptions(
            seed=seed,
            clock=clock,
            files=files,
            faults=rules,
            keys=keys,
            scale=scale,
            redirect=redirect,
            symbols=symbols,
            options_rows=options_rows,
            latency_ms=latency_ms,
            bytes_per_second=bytes_per_second,
        )
        serve(options, port, announce)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot listen on port {port}: {error}") from error
