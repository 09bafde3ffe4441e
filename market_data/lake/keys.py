"""Where things are in the lake: the only code that spells an object key.

A layout is an order of the four partition keys `date`, `venue`, `data_type`, `instrument_type`, in hive form. To add a
layout, add a line to `PARTITION_ORDERS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Literal, get_args
from urllib.parse import quote, unquote

from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay

PartitionKey = Literal["date", "venue", "data_type", "instrument_type"]

PARTITION_ORDERS: dict[str, tuple[PartitionKey, ...]] = {
    "by_date": ("date", "venue", "data_type", "instrument_type"),
    "by_venue": ("venue", "data_type", "instrument_type", "date"),
    "by_type": ("instrument_type", "data_type", "date", "venue"),
}
LAYOUTS: tuple[str, ...] = tuple(PARTITION_ORDERS)
PARTITION_KEYS: tuple[PartitionKey, ...] = get_args(PartitionKey)

ORIGIN_KEY = "origin.json"
UNIVERSE_PREFIX = "universe/"
TICKS_PREFIX = "ticks/"
RAW_PREFIX = "raw/"
RECEIPTS_PREFIX = "receipt/"
LEASE_PREFIX = "lease/"
QUALITY_PREFIX = "quality/"
PROBE_PREFIX = "probe/"  # what `market-data doctor` writes and takes away
_UNIVERSE_KEY = re.compile(r"universe/date=(?P<day>\d{4}-\d\d-\d\d)/venue=(?P<venue>[^/]+)/instruments\.parquet")
_RECEIPT_KEY = re.compile(r"receipt/venue=[^/]+/data_type=[^/]+/date=(?P<day>\d{4}-\d\d-\d\d)\.json")
_RECEIPT_PREFIX = re.compile(r"receipt/venue=(?P<venue>[^/]+)/data_type=(?P<data_type>[^/]+)/")
_VENUE_OF_RECEIPTS = re.compile(r"receipt/venue=(?P<venue>[^/]+)/")
_NAMED_BY_CONTENT = re.compile(r"\.[0-9a-f]{16}\.parquet$")
_CONTENT_IN_NAME = re.compile(r"\.[0-9a-f]{16}(?=\.(parquet|csv\.gz)$)")
_RAW_WITH_ID = re.compile(r"\.[0-9a-f]{16}\.csv\.gz$")
_PARQUET = ".parquet"


@lru_cache(maxsize=2**16)  # the same few thousand symbols in every key of a run
def _encode(text: str) -> str:
    encoded = quote(text, safe="-_.+@")
    # a leading dot would hide the object from directory listings
    return "%2E" + encoded[1:] if encoded.startswith(".") else encoded


@dataclass(frozen=True, slots=True)
class PublishedName:
    """What an object key of a published file says: its unit, its instrument type, its stem (not encoded), its content.

    `content_id` is None of files that a version before 2026-11-27 published: those are overwritten in place.
    """

    unit: DataTypeDay
    instrument_type: str
    stem: str
    content_id: str | None = None

    def partition_values(self) -> dict[PartitionKey, str]:
        """Return the value of each partition key."""
        return {
            "date": self.unit.day.isoformat(),
            "venue": self.unit.venue,
            "data_type": self.unit.data_type.value,
            "instrument_type": self.instrument_type,
        }


def known_layouts(layouts: Iterable[str]) -> tuple[str, ...]:
    """Return those of the layouts that this version knows."""
    return tuple(layout for layout in layouts if layout in PARTITION_ORDERS)


def object_key(layout: str, name: PublishedName) -> str:
    """Return the object key of a published file in a layout."""
    content = f".{name.content_id}" if name.content_id else ""
    return f"{object_prefix(layout, name.unit, name.instrument_type)}{_encode(name.stem)}{content}{_PARQUET}"


@lru_cache(maxsize=4096)  # asked for each object of a folder
def object_prefix(layout: str, unit: DataTypeDay, instrument_type: str) -> str:
    """Return the folder (with trailing slash) of one instrument type's files of a unit in a layout."""
    values = PublishedName(unit, instrument_type, "").partition_values()
    folders = "/".join(f"{key}={_encode(values[key])}" for key in PARTITION_ORDERS[layout])
    return f"{layout_prefix(layout)}{folders}/"


def layout_prefix(layout: str) -> str:
    """Return the folder of a layout."""
    return f"{TICKS_PREFIX}{layout}/"


def raw_prefix(unit: DataTypeDay) -> str:
    """Return the folder of the vendor's bytes of a unit."""
    return f"{RAW_PREFIX}venue={_encode(unit.venue)}/data_type={unit.data_type}/date={unit.day.isoformat()}/"


def raw_key(unit: DataTypeDay, vendor_symbol: str, raw_id: str | None = None) -> str:
    """Return the object key of the vendor's bytes of one tick file; those that replaced others have an id in it."""
    content = f".{raw_id}" if raw_id else ""
    return f"{raw_prefix(unit)}{_encode(vendor_symbol)}{content}.csv.gz"


def is_raw_with_id(key: str) -> bool:
    """Whether an object key is that of bytes which were to replace others."""
    return _RAW_WITH_ID.search(key) is not None


def is_named_by_content(key: str) -> bool:
    """Whether an object key is that of a published file that nobody overwrites."""
    return _NAMED_BY_CONTENT.search(key) is not None


def plain_key(key: str) -> str:
    """Return an object key without the id of the content that may be in its name."""
    return _CONTENT_IN_NAME.sub("", key)


def is_of_data(key: str) -> bool:
    """Whether an object key is that of a published file, or of the vendor's bytes: what reads may be at."""
    return key.startswith((TICKS_PREFIX, RAW_PREFIX))


def failed_prefix(unit: DataTypeDay) -> str:
    """Return the folder of what the vendor last sent for files that were refused; the receipt tells why."""
    return f"failed/venue={_encode(unit.venue)}/data_type={unit.data_type}/date={unit.day.isoformat()}/"


def failed_key(unit: DataTypeDay, vendor_symbol: str) -> str:
    """Return the object key of the refused bytes of one tick file."""
    return f"{failed_prefix(unit)}{_encode(vendor_symbol)}.csv.gz"


def staging_prefix(unit: DataTypeDay) -> str:
    """Return the folder of decoded files that wait for the rest of their unit when the scratch disk is short."""
    return f"staging/venue={_encode(unit.venue)}/data_type={unit.data_type}/date={unit.day.isoformat()}/"


def staging_key(unit: DataTypeDay, writer: str, instrument_type: str, stem: str) -> str:
    """Return the object key of a decoded file that waits; each writer has keys of its own."""
    return f"{staging_prefix(unit)}{writer}/{_encode(instrument_type)}/{_encode(stem)}{_PARQUET}"


def receipt_key(unit: DataTypeDay) -> str:
    """Return the object key of a unit's receipt."""
    return f"{receipt_prefix(unit.venue, unit.data_type)}date={unit.day.isoformat()}.json"


def receipt_prefix(venue: str, data_type: DataType) -> str:
    """Return the folder of all receipts of a venue and data type."""
    return f"{receipts_prefix(venue)}data_type={data_type}/"


def receipts_prefix(venue: str) -> str:
    """Return the folder of all receipts of a venue."""
    return f"{RECEIPTS_PREFIX}venue={_encode(venue)}/"


def venue_of_receipts(folder: str) -> str | None:
    """Return the venue whose receipts a folder holds, None for what else people keep beside them."""
    match = _VENUE_OF_RECEIPTS.fullmatch(folder)
    return unquote(match["venue"]) if match else None


def parse_receipt_prefix(folder: str) -> tuple[str, DataType] | None:
    """Return venue and data type of a folder of receipts, None for what else people keep beside them."""
    match = _RECEIPT_PREFIX.fullmatch(folder)
    try:
        return (unquote(match["venue"]), DataType(match["data_type"])) if match else None
    except ValueError:
        return None  # a data type of a later version


def day_of_receipt(key: str) -> date | None:
    """Return the day of a receipt's object key, None for what else people keep in its folder."""
    match = _RECEIPT_KEY.fullmatch(key)
    return _day(match["day"]) if match else None


def universe_key(venue: str, day: date) -> str:
    """Return the object key of a venue's instruments on a day."""
    return f"{UNIVERSE_PREFIX}date={day.isoformat()}/venue={_encode(venue)}/instruments.parquet"


def parse_universe_key(key: str) -> tuple[str, date] | None:
    """Return venue and day of the object key of a venue's instruments, None for any other key."""
    match = _UNIVERSE_KEY.fullmatch(key)
    day = _day(match["day"]) if match else None
    return (unquote(match["venue"]), day) if match and day else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def universe_day_prefix(day: date) -> str:
    """Return the folder of the venues' instruments on a day; those of a range of days lie between two such folders."""
    return f"{UNIVERSE_PREFIX}date={day.isoformat()}/"


def index_part_prefix(venue: str, data_type: DataType) -> str:
    """Return the folder of the compact forms of a venue's and data type's receipts."""
    return f"index/part/venue={_encode(venue)}/data_type={data_type}/"


def index_part_key(unit: DataTypeDay) -> str:
    """Return the object key of the compact form of a unit's receipt."""
    return f"{index_part_prefix(unit.venue, unit.data_type)}date={unit.day.isoformat()}.parquet"


def index_month_prefix(month: date) -> str:
    """Return the folder of what is compacted of a month, named by its first day."""
    return f"index/month={month:%Y-%m}/"


def index_units_key(month: date) -> str:
    """Return the object key of the table of all units of a month."""
    return f"{index_month_prefix(month)}units.parquet"


def index_files_key(month: date, venue: str, data_type: DataType) -> str:
    """Return the object key of the table of a month's tick files of one venue and data type."""
    return f"{index_month_prefix(month)}venue={_encode(venue)}/data_type={data_type}/files.parquet"


def index_instruments_key(month: date, venue: str) -> str:
    """Return the object key of the table of the instruments that a venue listed on the days of a month."""
    return f"{index_month_prefix(month)}venue={_encode(venue)}/instruments.parquet"


def combined_universe_key(day: date) -> str:
    """Return the object key of the instruments of all venues on a day."""
    return f"universe_of_all_venues/date={day.isoformat()}/instruments.parquet"


def vendor_answer_key(venue: str, asked: date) -> str:
    """Return the object key of the vendor's metadata answer as it was on the day it was asked."""
    return f"{vendor_answer_prefix(venue)}asked={asked.isoformat()}.json.gz"


def vendor_answer_prefix(venue: str) -> str:
    """Return the folder of the vendor's metadata answers about a venue."""
    return f"vendor/venue={_encode(venue)}/"


def asked_of_answer(key: str) -> date | None:
    """Return the day on which the vendor gave the answer that is kept under an object key, None for other keys."""
    name = key.rpartition("/")[2]
    return _day(name.removeprefix("asked=").removesuffix(".json.gz")) if name.startswith("asked=") else None


def lease_key(writer: str) -> str:
    """Return the object key under which one run says that it lives."""
    return f"{LEASE_PREFIX}{writer}.json"


def quota_prefix(day: date) -> str:
    """Return the folder in which runs tell what they fetched from the vendor on a UTC day."""
    return f"quota/fetched_on={day.isoformat()}/"


def quota_key(day: date, writer: str) -> str:
    """Return the object key under which one run tells what it fetched on a UTC day."""
    return f"{quota_prefix(day)}{writer}.json"


def rhythm_key(unit: DataTypeDay) -> str:
    """Return the object key of the rhythm of a unit: when each of its instruments had rows, and when none."""
    return f"{rhythm_prefix(unit)}date={unit.day.isoformat()}.parquet"


def rhythm_prefix(unit: DataTypeDay) -> str:
    """Return the folder of the rhythms of a unit's venue and data type."""
    return f"{QUALITY_PREFIX}rhythm/{_unit_folder(unit)}"


def day_of_rhythm(key: str) -> date | None:
    """Return the day of a rhythm's object key, None for what else people keep in its folder."""
    name = key.rpartition("/")[2]
    return _day(name.removeprefix("date=").removesuffix(".parquet")) if name.startswith("date=") else None


def gaps_key(unit: DataTypeDay, content_id: str) -> str:
    """Return the object key of the gaps of a unit; its receipt says which content is in force."""
    return f"{QUALITY_PREFIX}gaps/{_unit_folder(unit)}date={unit.day.isoformat()}.{content_id}.parquet"


def agreement_key(venue: str, day: date) -> str:
    """Return the object key of how a venue's data types agree on a day."""
    return f"{QUALITY_PREFIX}agreement/venue={_encode(venue)}/date={day.isoformat()}.parquet"


def _unit_folder(unit: DataTypeDay) -> str:
    return f"venue={_encode(unit.venue)}/data_type={unit.data_type}/"
