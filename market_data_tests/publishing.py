"""A writer that drives `market_data.ingest.publish` as `venue_day.py` does, without a vendor and without Parquet.

What a symbol's vendor bytes and its decoded objects are is fixed by the symbol and the decoder version alone.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from market_data.ingest.assess import PublicationTarget, WantedUnit
from market_data.ingest.begin import begin
from market_data.ingest.publish import Attempt
from market_data.lake.base import ObjectStat, TickLake
from market_data.lake.checksum import ContentDigest
from market_data.lake.keys import LAYOUTS, object_key, raw_key, receipt_key
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome, TickFile
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import Receipt
from market_data.receipts.store import save_receipt
from market_data.ticks.decode import DecodedObject
from market_data_tests.fakes import InlineExecutor

UNIT = DataTypeDay("BINANCE", DataType.TRADES, date(2024, 8, 8))
ORIGIN = "https://vendor.example"
GROUP = "OPTIONS"
EMPTY, NOT_OFFERED = "EMPTYUSDT", "GONEUSDT"
INSTRUMENT_TYPES = {
    "BTCUSDT": "SPOT_PAIR",
    "ETHUSDT": "SPOT_PAIR",
    EMPTY: "SPOT_PAIR",
    NOT_OFFERED: "SPOT_PAIR",
    "XBTUSD": "PERPETUAL",
    GROUP: "OPTION",
    "BTC-C": "OPTION",
    "ETH-P": "OPTION",
}


def decode(symbol: str, decoder_version: str) -> dict[str, bytes]:
    """Give {stem: bytes}. Version 2 changes BTCUSDT's bytes, ETHUSDT's stem, the group's split; XBTUSD stays."""
    contents = {
        ("BTCUSDT", "1"): ["BTC-USDT first"],
        ("BTCUSDT", "2"): ["BTC-USDT second, longer"],
        ("ETHUSDT", "1"): ["ETH-USDT same"],
        ("ETHUSDT", "2"): ["ETH~USDT same"],
        (GROUP, "1"): ["BTC~OPTIONS both", "ETH~OPTIONS first"],
        (GROUP, "2"): ["BTC~OPTIONS both", "~OPTIONS second"],
    }
    words = contents.get((symbol, decoder_version), [f"{symbol}-USD always"])
    return {text.partition(" ")[0]: text.encode() for text in words}


def vendor_bytes(symbol: str) -> bytes:
    """Give what the vendor answers."""
    return f"vendor's {symbol}".encode()


def make_tick_file(symbol: str) -> TickFile:
    """Give the expected file of a symbol; GROUP is a grouped one."""
    kind = INSTRUMENT_TYPES[symbol]
    return TickFile(UNIT, symbol, kind, None if symbol == GROUP else f"{UNIT.venue}:{kind}:{symbol}")


@dataclass(frozen=True)
class Writer:
    """What one run wants: its decoder, its expected symbols, its layouts. The vendor fails it for `failing`.

    `is_staging`: its scratch disk is short, so what it decodes waits in the lake.
    """

    name: str = "writer"
    decoder_version: str = "1"
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "XBTUSD")
    layouts: tuple[str, ...] = LAYOUTS
    failing: frozenset[str] = frozenset()
    origin: str = ORIGIN
    waived: tuple[str, ...] = ()
    is_staging: bool = False

    @property
    def target(self) -> PublicationTarget:
        """What the writer publishes for."""
        return PublicationTarget(self.origin, self.layouts, self.decoder_version, "config")

    def begin(self, lake: TickLake) -> Attempt:
        """Begin an attempt at UNIT."""
        expected = [make_tick_file(symbol) for symbol in self.symbols]
        waived = dict.fromkeys(self.waived, "the recorder was down")
        return begin(lake, WantedUnit(UNIT, expected, waived=waived), self.target, self.name)


class Workshop:
    """Where decoded files lie on disk; `now` gives a new minute each time it is asked."""

    def __init__(self, folder: Path, executor: Executor | None = None) -> None:
        self._folder = folder
        self._executor = executor or InlineExecutor()
        self._minutes = itertools.count(1)

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=next(self._minutes))

    def decode(self, symbol: str, decoder_version: str) -> tuple[DecodedObject, ...]:
        return tuple(self._make(symbol, decoder_version))  # anew each time: publishing takes the files away

    def _make(self, symbol: str, decoder_version: str) -> Iterator[DecodedObject]:
        for number, (stem, data) in enumerate(decode(symbol, decoder_version).items()):
            path = self.new_folder() / f"{symbol}-{decoder_version}-{number}"
            path.write_bytes(data)
            digest = ContentDigest()
            digest.update(data)
            file, facts = make_tick_file(symbol), (1, len(data), digest.crc32c, digest.content_id)
            yield DecodedObject(path, stem, file.instrument_type, file.instrument_key, *facts)

    def run(self, lake: TickLake, writer: Writer) -> Receipt:
        """Do one attempt as ingest does it; raises what `publish` raises."""
        attempt = writer.begin(lake)
        return attempt.receipt if attempt.work.is_current else self.finish(attempt, writer)

    def finish(self, attempt: Attempt, writer: Writer) -> Receipt:
        """Do what follows `begin`: acquire every file asked for, then publish or give back."""
        evidence = self.acquire_all(attempt, writer)
        if not all(file.is_accounted for file in evidence):
            return attempt.release(evidence)
        decoded = {
            file.vendor_symbol: self._decode_for(attempt, file, writer)
            for file in evidence
            if file.outcome is Outcome.STORED
        }
        return attempt.publish(evidence, decoded, self._executor, self.now)

    def acquire_all(self, attempt: Attempt, writer: Writer) -> list[FileEvidence]:
        """Ask for every file that the attempt wants."""
        wanted = dict.fromkeys((*attempt.work.to_acquire, *attempt.work.to_rebuild))
        return [self._acquire(attempt, file, writer) for file in wanted]

    def new_folder(self) -> Path:
        """Make a folder that nothing else uses."""
        return Path(tempfile.mkdtemp(dir=self._folder))

    def _decode_for(self, attempt: Attempt, file: FileEvidence, writer: Writer) -> tuple[DecodedObject, ...]:
        decoded = self.decode(file.vendor_symbol, writer.decoder_version)
        return tuple(attempt.stage(item) for item in decoded) if writer.is_staging else decoded

    def _acquire(self, attempt: Attempt, file: FileEvidence, writer: Writer) -> FileEvidence:
        symbol = file.vendor_symbol
        data, raw = vendor_bytes(symbol), attempt.raw_of(file)
        if raw is not None:
            with attempt.reading(raw.key):
                if attempt.lake.get_bytes(raw.key)[0] == data:
                    if attempt.work.is_takeover:
                        raw = attempt.put_raw(file, _putting(attempt.lake, data))
                    return _stored(file, raw)
        if symbol in writer.failing:
            return file.model_copy(update={"outcome": Outcome.FAILED, "error": "the vendor failed"})
        if symbol == NOT_OFFERED:
            return file.model_copy(update={"outcome": Outcome.NOT_OFFERED})
        return _stored(file, attempt.put_raw(file, _putting(attempt.lake, data)))


def _putting(lake: TickLake, data: bytes) -> Callable[[str, int], ObjectStat]:
    return lambda key, if_generation: lake.put_bytes(data, key, if_generation=if_generation)


def _stored(file: FileEvidence, stat: ObjectStat) -> FileEvidence:
    is_empty = file.vendor_symbol == EMPTY
    facts = {
        "outcome": Outcome.VENDOR_EMPTY if is_empty else Outcome.STORED,
        "size_bytes": stat.size_bytes,
        "crc32c": stat.crc32c,
        "generation": stat.generation,
        "rows": 0 if is_empty else len(decode(file.vendor_symbol, "1")),  # one in each object
    }
    return file.model_copy(update=facts)


def as_an_earlier_version(lake: TickLake, receipt: Receipt) -> Receipt:
    """Give the published objects plain names, as versions before content ids did."""
    objects = []
    for item in receipt.objects:
        plain = item.changed(content_id=None)
        keys = {layout: object_key(layout, plain.name(UNIT)) for layout in item.generations}
        copies = {layout: lake.copy(item.object_keys(UNIT)[layout], key) for layout, key in keys.items()}
        for key in item.object_keys(UNIT).values():
            lake.delete(key)
        objects.append(plain.changed(generations={layout: stat.generation for layout, stat in copies.items()}))
    earlier = receipt.changed(objects=tuple(objects), min_reader_version=1, min_writer_version=1)
    stat = lake.stat(receipt_key(UNIT))
    save_receipt(lake, earlier, stat.generation if stat else 0)
    return earlier


def contents(lake: TickLake, prefixes: Iterable[str] = ("ticks/", "raw/")) -> dict[str, bytes]:
    """Give every object below the prefixes."""
    return {stat.key: lake.get_bytes(stat.key)[0] for prefix in prefixes for stat in lake.list_objects(prefix)}


def find_falsehoods(lake: TickLake, receipt: Receipt) -> set[str]:
    """Give the keys of which the receipt says what is not so: published objects, and raw objects it has proof of."""
    described = {object_key(layout, item.name(UNIT)): item for item in receipt.objects for layout in item.generations}
    stored = {
        raw_key(UNIT, file.vendor_symbol, file.raw_id): file
        for file in receipt.files
        if file.outcome in {Outcome.STORED, Outcome.VENDOR_EMPTY}
    }
    return {
        key
        for key, facts in (described | stored).items()
        if (stat := lake.stat(key)) is None or (stat.size_bytes, stat.crc32c) != (facts.size_bytes, facts.crc32c)
    }
