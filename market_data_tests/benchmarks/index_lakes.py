"""Lakes of a year of receipts with realistic evidence, each a local directory and a GCS bucket at the same time.

The receipts of a month's days are made with all their evidence, by the same classes as a run's; every other day is one
of these bodies with the dates replaced. Receipts are written as files straight into the lake, and each file gets
the attribute in which the emulator keeps what GCS knows of an object: thousands of uploads would take minutes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import google_crc32c
import polars as pl

from market_data.index.store import save_part
from market_data.index.table import head_of_part, part_of, read_facts, write_table
from market_data.index.unit import IndexedUnit, UnitHead
from market_data.lake.base import TickLake
from market_data.lake.keys import LAYOUTS, index_part_key, receipt_key
from market_data.lake.open import open_lake
from market_data.lake.origin import ensure_origin
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.receipts.evidence import FileEvidence, expected_file
from market_data.receipts.receipt import PublishedObject, Receipt
from market_data.receipts.store import parse_receipt, save_receipt
from market_data.ticks.rules import RULES, Finding, TickStats
from market_data.universe.rules import Selection, Universe, expected_tick_files, instruments_on
from market_data_tests.gcs_server import GcsServer

ORIGIN = "benchmark"
FIRST_DAY = date(2023, 1, 1)
_QUOTES = ("USDT", "BTC", "ETH", "USDC", "EUR", "TRY")
_WARNED_SHARE, _EMPTY_SHARE = 0.05, 0.02
_HEX = 16
_ALL = Selection(tuple(DataType))
_ATTRIBUTE = "user.metadata"


class Unit(NamedTuple):
    """A unit with its receipt's generation."""

    unit: DataTypeDay
    generation: int


@dataclass(frozen=True, slots=True)
class MadeLake:
    """A lake in `root`, which is also the bucket `bucket` of a server."""

    bucket: str
    root: Path

    @property
    def local(self) -> TickLake:
        """The lake as a local directory."""
        return open_lake(self.root.as_uri())

    def url(self, store: str) -> str:
        """Return the URL of the lake as `local` or `gs`."""
        return f"gs://{self.bucket}" if store == "gs" else self.root.as_uri()

    def show_to_emulator(self) -> None:
        """Describe each new file as the emulator describes what is uploaded to it."""
        for folder, _, names in os.walk(self.root):
            for path in (Path(folder, name) for name in names):
                if _ATTRIBUTE not in os.listxattr(path):
                    _describe(path)


def _describe(path: Path) -> None:
    data = path.read_bytes()
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    described = {
        "StorageClass": "STANDARD",
        "ContentType": "application/octet-stream",
        "Crc32c": base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode(),
        "Md5Hash": md5,
        "Etag": md5,
        "Generation": path.stat().st_mtime_ns,
    }
    os.setxattr(path, _ATTRIBUTE, json.dumps(described).encode())


def make_lake(server: GcsServer, home: Path, bucket: str) -> MadeLake:
    """Make an empty lake below the folder that a server serves."""
    server.create_bucket(bucket)
    made = MadeLake(bucket, home / bucket)
    ensure_origin(made.local, ORIGIN)
    return made


def days_from_first(count: int) -> list[date]:
    """Return so many days, the first of which all lakes have."""
    return [FIRST_DAY + timedelta(days=number) for number in range(count)]


def make_universe(venue: str, instruments: int, data_types: Sequence[DataType]) -> Universe:
    """Return a universe of spot pairs: each base with six quotes, `BTC` among the bases."""
    bases = ["BTC", *(f"{_letters(number)}X" for number in range(instruments))]
    pairs = [f"{base}{quote}" for base in bases for quote in _QUOTES if base != quote][:instruments]
    since, until = "2020-01-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z"
    row = {"type": "spot", "dataTypes": [item.value for item in data_types], "availableSince": since}
    rows = [row | {"id": pair, "availableTo": until} for pair in pairs]
    answer = {"datasets": {"exportedFrom": since, "exportedUntil": until, "symbols": rows}}
    return instruments_on(venue, answer, FIRST_DAY, Selection(tuple(data_types)), {})


def _letters(number: int) -> str:
    return "".join(chr(ord("A") + number // 26**place % 26) for place in (2, 1, 0))


def fill(made: MadeLake, universe: Universe, data_type: DataType, days: Iterable[date], bodies: int = 31) -> list[Unit]:
    """Write the receipts of days, no two of so many successive ones alike; return what was written."""
    made_bodies: dict[int, tuple[date, bytes]] = {}
    written = []
    for day in days:
        unit = DataTypeDay(universe.venue, data_type, day)
        path, number = Path(made.local.uri(receipt_key(unit))), day.day % bodies
        if number not in made_bodies:
            generation = save_receipt(made.local, make_receipt(universe, unit), 0)
            made_bodies[number] = day, path.read_bytes()
        else:
            made_for, body = made_bodies[number]
            for text in ("%Y-%m-%d", "%Y/%m/%d"):
                body = body.replace(f"{made_for:{text}}".encode(), f"{day:{text}}".encode())
            path.write_bytes(body)
            generation = path.stat().st_mtime_ns
        written.append(Unit(unit, generation))
    return written


def write_parts(made: MadeLake, units: Iterable[Unit]) -> None:
    """Write the parts of receipts that `fill` wrote with as many bodies as a month has days."""
    parts: dict[int, tuple[UnitHead, pl.DataFrame]] = {}
    for unit, generation in units:
        path = Path(made.local.uri(index_part_key(unit)))
        if unit.day.day not in parts:
            save_part(made.local, read_made(made, unit), generation)
            data = path.read_bytes()
            head = head_of_part(data)
            assert head is not None
            parts[unit.day.day] = head, pl.read_parquet(io.BytesIO(data))
            continue
        head, frame = parts[unit.day.day]
        later = unit.day - head.day
        head = replace(head, day=unit.day, generation=generation)
        facts = read_facts(part_of(IndexedUnit(head)))
        assert facts is not None
        times = pl.col("day", "first_local_timestamp", "last_local_timestamp")
        path.write_bytes(write_table(frame.with_columns(times + later), index_part_key(unit), {"head": facts["head"]}))


def read_made(made: MadeLake, unit: DataTypeDay) -> Receipt:
    """Return the receipt that was written of a unit."""
    uri = made.local.uri(receipt_key(unit))
    return parse_receipt(Path(uri).read_bytes(), uri)


def make_receipt(universe: Universe, unit: DataTypeDay) -> Receipt:
    """Return the receipt that a run leaves of a whole day: few files empty, some with a warning."""
    noise = random.Random(f"{unit}")
    instruments = replace(universe, day=unit.day)
    files = [
        _evidence(expected_file(file), unit, noise) for file in expected_tick_files(instruments, _ALL, unit.data_type)
    ]
    files.sort(key=lambda file: file.vendor_symbol)
    empty = Receipt(origin=ORIGIN, venue=unit.venue, data_type=unit.data_type, day=unit.day, config_hash="9a455698bd5a")
    objects = [_published(file, noise) for file in files if file.rows]
    receipt = empty.changed(files=tuple(files), instruments_listed=len(universe.listed))
    return receipt.committed(objects, decoder_version="3", layouts=LAYOUTS, at=_instant(unit.day, 30 * 3600))


def _instant(day: date, seconds: float) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=seconds)


def _evidence(file: FileEvidence, unit: DataTypeDay, noise: random.Random) -> FileEvidence:
    symbol, etag = file.vendor_symbol, f'"{noise.getrandbits(128):032x}"'
    url = f"https://datasets.tardis.dev/v1/{unit.venue.lower()}/{unit.data_type}/{unit.day:%Y/%m/%d}/{symbol}.csv.gz"
    answered = file.answered(url, 200, 1).changed(
        etag=etag, x_md5=etag, last_modified=f"{unit.day + timedelta(days=1):%a, %d %b %Y} 06:00:00 GMT"
    )
    crc32c, generation = _crc32c(noise), noise.getrandbits(60)
    if noise.random() < _EMPTY_SHARE:
        return answered.stored(size_bytes=80, crc32c=crc32c, generation=generation).timed(noise.random())
    rows = noise.randint(100, 2_000_000)
    first, last = noise.random() * 600, 86_400 - noise.random() * 600
    stored = answered.stored(size_bytes=rows * noise.randint(9, 12), crc32c=crc32c, generation=generation)
    decoded = stored.decoded(rows, _instant(unit.day, first), _instant(unit.day, last), ())
    return decoded.judged(_stats(rows, (first, last), noise), _findings(noise)).timed(noise.random() * 3)


def _crc32c(noise: random.Random) -> str:
    return base64.b64encode(noise.getrandbits(32).to_bytes(4, "big")).decode()


def _stats(rows: int, span: tuple[float, float], noise: random.Random) -> TickStats:
    counted = "arrival_steps_back rows_repeated ids_repeated sides_unknown prices_not_positive amounts_negative"
    names = (*counted.split(), "cells_not_finite")
    price = noise.random() * 1000
    measures = {
        "first_row_seconds": span[0],
        "last_row_seconds": span[1],
        "median_delay_seconds": round(noise.random(), 6),
        "longest_silence_seconds": round(noise.random() * 3000, 6),
        "lowest_price": round(price, 4),
        "highest_price": round(price * 1.1, 4),
    }
    counts = dict.fromkeys(names, 0) | {"rows_repeated": noise.randint(0, 9)}
    return TickStats(rows=rows, counts=counts, measures=measures, nulls={})


def _findings(noise: random.Random) -> list[Finding]:
    if noise.random() >= _WARNED_SHARE:
        return []
    rule = next(rule for rule in RULES if not rule.severity.is_error)
    text = f"{rule.statistic} is {noise.random() * 9:.3f}, the limit {rule.limit}: {rule.why}"
    return [Finding(rule=rule.name, family=rule.family, severity=rule.severity, text=text)]


def _published(file: FileEvidence, noise: random.Random) -> PublishedObject:
    key = file.instrument_key or ""
    return PublishedObject(
        vendor_symbol=file.vendor_symbol,
        instrument_type=file.instrument_type,
        instrument_key=file.instrument_key,
        stem=key.rpartition(":")[2],
        rows=file.rows or 0,
        size_bytes=(file.size_bytes or 0) * 6 // 7,
        crc32c=_crc32c(noise),
        content_id=f"{noise.getrandbits(64):0{_HEX}x}",
        generations={layout: noise.getrandbits(60) for layout in LAYOUTS},
    )
