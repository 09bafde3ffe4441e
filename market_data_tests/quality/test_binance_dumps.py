"""Binance's files as they may arrive: whole, of other markets, or damaged anyhow: rows, or a word that helps."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from market_data.errors import ConfigurationError
from market_data.quality.binance_dumps import find_dumps, read_dump

DAY = date(2024, 8, 8)
START_MS = int(datetime(2024, 8, 8, tzinfo=UTC).timestamp() * 1000)
SPOT_HEADER = "id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch"


def trade_lines() -> list[str]:
    return [f"{7000 + it},{60000 + it}.5,0.01,600.0,{START_MS + 1000 * it},{it % 2 == 0},True" for it in range(400)]


def aggregated_lines() -> list[str]:
    return [f"{it},60000.1,0.02,{7000 + 2 * it},{7001 + 2 * it},{START_MS + 1000 * it},False,True" for it in range(400)]


def candle_lines() -> list[str]:
    starts = [START_MS + 60_000 * it for it in range(1440)]
    return [f"{at},1.0,1.0,1.0,1.0,2.5,{at + 59_999},2.5,3,1.0,1.0,0" for at in starts]


LINES: dict[str, Callable[[], list[str]]] = {"trades": trade_lines, "aggTrades": aggregated_lines, "1m": candle_lines}


def text_of(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def zipped(text: str, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("BTCUSDT.csv", text)
    return stream.getvalue()


def put(folder: Path, data: bytes | str, name: str = f"BTCUSDT-trades-{DAY}.csv") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def read_only(folder: Path, venue: str = "BINANCE") -> int:
    """Read the one dump of a folder; give how many rows it has."""
    (dump,) = find_dumps(folder)
    return read_dump(dump, venue).height


def refusal(folder: Path, venue: str = "BINANCE") -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_only(folder, venue)
    return str(caught.value)


def damaged(data: bytes, generator: random.Random) -> bytes:
    """Return bytes with one thing wrong: bits flipped, cut, a stretch lost, doubled, or made of chance."""
    body = bytearray(data)
    start, length = generator.randrange(len(body)), generator.randrange(1, 40)
    kind = generator.randrange(6)
    if kind <= 1:  # the directory at the end, and the header at the start, are where most goes wrong
        near = generator.choice([generator.randrange(60), len(body) - 1 - generator.randrange(140), start])
        body[near % len(body)] ^= 1 << generator.randrange(8)
    elif kind == 2:
        del body[start:]
    elif kind == 3:
        del body[start : start + length]
    elif kind == 4:
        body[start:start] = body[start : start + length]
    else:
        body[start : start + length] = generator.randbytes(length)
    return bytes(body)


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("suffix", ["zip", "csv"])
def test_no_damage_leaves_anything_but_rows_or_a_word_that_names_the_file(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    text, generator = text_of(LINES[kind]()), random.Random(f"{kind} {suffix}")
    methods = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    bodies = [zipped(text, method) for method in methods] if suffix == "zip" else [text.encode()]
    told = []
    for _ in range(600):
        path = put(tmp_path, damaged(generator.choice(bodies), generator), f"BTCUSDT-{kind}-{DAY}.{suffix}")
        try:
            assert read_only(tmp_path) > 0
        except ConfigurationError as error:
            told.append(str(error))
    assert len(told) > 200
    remedies = ("et it again", "take it away", "name the venue")
    assert [text for text in told if str(path) not in text or "\n" in text] == []
    assert [text for text in told if not any(remedy in text for remedy in remedies)] == []


@pytest.mark.parametrize("kind", LINES)
def test_rows_are_read_with_and_without_a_header_line_ends_marks_and_zip(tmp_path: Path, kind: str) -> None:
    lines = LINES[kind]()
    header = ",".join(f"name_{it}" for it in range(lines[0].count(",") + 1))
    texts = (lines, [header, *lines], [f"\ufeff{lines[0]}", *lines[1:]], [f"\ufeff{header}", *lines])
    for text in map(text_of, texts):
        for data in (text, text.replace("\n", "\r\n")):
            put(tmp_path, data, f"BTCUSDT-{kind}-{DAY}.csv")
            assert read_only(tmp_path) == len(lines)
    (tmp_path / f"BTCUSDT-{kind}-{DAY}.csv").unlink()
    put(tmp_path, zipped(text_of(lines)), f"BTCUSDT-{kind}-{DAY}.zip")
    assert read_only(tmp_path) == len(lines)


def encrypted(data: bytes) -> bytes:
    body, directory = bytearray(data), data.rfind(b"PK\x01\x02")
    body[6] |= 1
    body[directory + 8] |= 1
    return bytes(body)


def of_unknown_method(data: bytes) -> bytes:
    body, directory = bytearray(data), data.rfind(b"PK\x01\x02")
    body[8] = body[directory + 10] = 99
    return bytes(body)


@pytest.mark.parametrize(
    ("change", "told"),
    [(encrypted, "is encrypted"), (of_unknown_method, "compression method"), (lambda data: data[:300], "not a zip")],
)
def test_a_zip_file_that_cannot_be_opened_says_why(tmp_path: Path, change: Callable[[bytes], bytes], told: str) -> None:
    path = put(tmp_path, change(zipped(text_of(trade_lines()))), f"BTCUSDT-trades-{DAY}.zip")
    text = refusal(tmp_path)
    assert str(path) in text
    assert told in text
    assert text.endswith("get it again")


LINE = trade_lines()[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (f"{SPOT_HEADER}\n", "is empty"),
        (f"{LINE.rpartition(',')[0]}\n", "a futures market's form"),
        (f"{LINE},1\n", "no known form"),
        (f"Q{LINE}\n{LINE}\n", "is not of the form"),  # a damaged first byte makes no header of a trade
        (f"{LINE}\n{LINE[:20]}\n", "missing cells"),
        (f"{LINE}\n{LINE.replace('60000.5', 'abc')}\n", "is not of the form"),
        (f"{LINE}\n{LINE.replace('60000.5', 'nan')}\n", "infinite or none"),
        (f"{LINE}\n{LINE.replace('7000', '9' * 20)}\n", "is not of the form"),
        (f"{LINE}\n{LINE.replace('7000', '-7000')}\n", "ids that are none"),
        (f"{LINE}\n{LINE.replace(str(START_MS), '9' * 18)}\n", "no day that there is"),
        (LINE.replace(str(START_MS), str(START_MS // 1000)), "holds rows of 1970-01-20"),
        (LINE.replace(str(START_MS), str(START_MS + 86_400_000)), "holds rows of 2024-08-09"),
        (LINE.replace(",True", ",1"), "other words than true and false"),
    ],
)
def test_rows_that_are_none_are_refused_with_the_remedy(tmp_path: Path, text: str, told: str) -> None:
    path = put(tmp_path, text)
    found = refusal(tmp_path)
    assert str(path) in found
    assert told in found
    assert "polars" not in found.lower()
    assert "infer_schema" not in found


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        (7009, 7001, "end before they begin"),
        (-5, 7001, "end before they begin"),
        (7001, 2**63 - 1, "end before they begin"),
        (7001, 7001 + 10**10, "more single trades"),
    ],
)
def test_aggregated_trades_of_impossible_ranges_are_refused(tmp_path: Path, first: int, last: int, told: str) -> None:
    line = f"1,60000.1,0.02,{first},{last},{START_MS},False,True\n"
    put(tmp_path, line, f"BTCUSDT-aggTrades-{DAY}.csv")
    assert told in refusal(tmp_path)


def test_candles_of_other_lengths_or_twice_are_refused(tmp_path: Path) -> None:
    lines = candle_lines()
    for changed, told in (
        ([lines[0].replace(str(START_MS), str(START_MS + 1000), 1), *lines[1:]], "none of a minute"),
        ([lines[0].replace(",3,", ",-3,"), *lines[1:]], "none of a minute"),
        ([*lines, lines[7]], "some minutes twice"),
    ):
        put(tmp_path, text_of(changed), f"BTCUSDT-1m-{DAY}.csv")
        assert told in refusal(tmp_path)


def test_a_name_of_no_day_is_told_with_the_file(tmp_path: Path) -> None:
    path = put(tmp_path, LINE, "BTCUSDT-trades-2024-02-30.csv")
    with pytest.raises(ConfigurationError, match="a day that there is not") as caught:
        find_dumps(tmp_path)
    assert str(path) in str(caught.value)


def test_two_files_of_a_day_are_told_apart_from_trees_of_two_markets(tmp_path: Path) -> None:
    for market in ("spot", "futures/um"):
        put(tmp_path / "trees", LINE, f"data/{market}/daily/trades/BTCUSDT/BTCUSDT-trades-{DAY}.csv")
    with pytest.raises(ConfigurationError, match="name one market's folder in --files") as caught:
        find_dumps(tmp_path / "trees")
    assert str(tmp_path / "trees/data/spot") in str(caught.value)
    assert len(find_dumps(tmp_path / "trees/data/spot")) == 1
    put(tmp_path / "twice", LINE)
    put(tmp_path / "twice", zipped(LINE), f"BTCUSDT-trades-{DAY}.zip")
    with pytest.raises(ConfigurationError, match="the same dump twice: take one of them away"):
        find_dumps(tmp_path / "twice")


def test_files_of_months_are_told_to_be_none_of_days(tmp_path: Path) -> None:
    put(tmp_path, LINE, "BTCUSDT-trades-2024-08.csv")
    with pytest.raises(ConfigurationError, match="months are not read: get the days"):
        find_dumps(tmp_path)
