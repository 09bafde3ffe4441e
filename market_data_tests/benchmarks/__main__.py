"""Run the benchmarks: `python -m market_data_tests.benchmarks [NAME ...] [--quick] [--full] [--rounds N] [--markdown]`.

Everything is on this machine and on loopback. Results are printed and merged into `.market_data/bench.json`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from market_data_tests.benchmarks import (
    agreement,
    dagster_runs,
    decoding,
    downloads,
    encoding,
    grouped,
    growth,
    index,
    many_venues,
    memory,
    read_paths,
    recall,
    report,
    retention,
    sensors,
    small_files,
    store,
    venue_day,
)
from market_data_tests.benchmarks.measured import Options, Results

BENCHMARKS: dict[str, Callable[[Options], Results]] = {
    "venue_day_over_bare": venue_day.measure_over_bare,
    "pandas_loop_over_venue_day": venue_day.measure_under_pandas,
    "official_client_over_download": downloads.measure,
    "small_files_per_second": small_files.measure,
    "layout_bytes_over_gzip": encoding.measure_over_gzip,
    "layout_bytes_over_today": encoding.measure_over_today,
    "encode_over_today": encoding.measure_cpu,
    "decode_over_kernel": decoding.measure,
    "peak_rss_mb": memory.measure,
    "grouped": grouped.measure,
    "dagster_overhead_seconds": dagster_runs.measure,
    "growth_files": growth.measure_files,
    "growth_days": growth.measure_days,
    "store": store.measure,
    "read_paths": read_paths.measure,
    "sensors": sensors.measure,
    "index": index.measure,
    "agreement": agreement.measure,
    "recall": recall.measure,
    "retention": retention.measure,
    "many_venues": many_venues.measure,
}


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="Small files: whether all of it works, in a few minutes.")
@click.option("--full", is_flag=True, help="Also what takes minutes: a file of 10 GB, runs through the daemon.")
@click.option("--rounds", default=5, show_default=True, help="Rounds of each comparison.")
@click.option("--markdown", is_flag=True, help="Measure nothing: print the kept results as a table for the README.")
def main(*, names: tuple[str, ...], quick: bool, full: bool, rounds: int, markdown: bool) -> None:
    """Run the named benchmarks, or all of them."""
    if unknown := set(names) - BENCHMARKS.keys():
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: known are {', '.join(BENCHMARKS)}")
    if markdown:
        click.echo("\n".join(report.to_markdown()))
        return
    options = Options(quick, full, rounds)
    for name in names or BENCHMARKS:
        started = time.monotonic()
        results = BENCHMARKS[name](options)
        for what, measured in results.items():
            click.echo(report.format_line(what, measured))
        path = report.save(results, options)
        click.echo(f"-- {name}: {time.monotonic() - started:.0f} s, kept in {path}\n")


if __name__ == "__main__":
    main()
