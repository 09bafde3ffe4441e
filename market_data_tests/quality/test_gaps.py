"""Gaps of made rhythms: what is improbable is found, what is usual is not, and who is too quiet is not judged."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from market_data.quality import gaps
from market_data.quality.gaps import BY_DAY, BY_WEEK, Edges, usual_silences
from market_data.quality.hours import DAY_US, RHYTHM_SCHEMA, midnight_us, silences_of, with_learned_ids
from market_data.quality.rhythm import RhythmMeter

DAY = date(2024, 8, 8)
KEY = "BINANCE:SPOT_PAIR:BTC-USDT"


def find_gaps(rhythm: pl.DataFrame, before: pl.DataFrame, day: date) -> pl.DataFrame:
    return gaps.find_gaps(rhythm, usual_silences(rhythm, before, day), day)


def visible_from(rhythm: pl.DataFrame, before: pl.DataFrame, day: date) -> pl.DataFrame:
    return gaps.visible_from(rhythm, usual_silences(rhythm, before, day))


def arrivals(day: date, rows: int, seed: int, *, shape: float = 0.0) -> np.ndarray:
    """Return sorted instants of a day: `shape` is how much busier afternoons are than nights."""
    rng = np.random.default_rng([seed, day.toordinal()])
    drawn = rng.random(round(rows * (1 + shape)))
    kept = drawn[rng.random(len(drawn)) < (1 + shape * np.sin(2 * np.pi * (drawn - 0.25))) / (1 + shape)]
    return np.sort(midnight_us(day) + (kept * DAY_US).astype(np.int64))


def rhythm_of(times: np.ndarray, day: date, key: str = KEY) -> pl.DataFrame:
    meter = RhythmMeter(day)
    for part in np.array_split(times, 3):
        meter.add(pl.DataFrame({"local_timestamp": part.view("datetime64[us]")}))
    return meter.hours(key)


def before_of(rows: int, days: int, shape: float = 0.0, keys: tuple[str, ...] = (KEY,)) -> pl.DataFrame:
    frames = [pl.DataFrame(schema={**RHYTHM_SCHEMA, "day": pl.Date()})]
    for back in range(1, days + 1):
        day = DAY - timedelta(days=back)
        frames += [
            rhythm_of(arrivals(day, rows, 7 + at, shape=shape), day, key).with_columns(day=pl.lit(day))
            for at, key in enumerate(keys)
        ]
    return pl.concat(frames)


def without(times: np.ndarray, second: float, seconds: float) -> np.ndarray:
    since = midnight_us(DAY) + int(second * 1e6)
    return times[(times < since) | (times >= since + int(seconds * 1e6))]


@pytest.mark.parametrize("days", [0, 5, 28])
@pytest.mark.parametrize("second", [0.0, 3600 * 7.5, 3600 * 18.9, 86_400 - 90])
def test_a_block_of_a_thousandth_of_a_liquid_day_is_found_where_it_is(days: int, second: float) -> None:
    times = without(arrivals(DAY, 50_000, 1), second, 90)
    found = find_gaps(rhythm_of(times, DAY), before_of(50_000, days), DAY)
    assert found.height == 1
    start, end = (found[name][0] - midnight_us(DAY) for name in ("start_us", "end_us"))
    assert start <= second * 1e6 + 1e6 * 30
    assert end >= (second + 60) * 1e6
    assert found["basis"][0] == {0: BY_DAY, 5: "28 days, hour of the day", 28: BY_WEEK}[days]


def test_days_as_they_usually_are_have_no_gap() -> None:
    for seed in range(40):
        rows = (300, 3_000, 30_000)[seed % 3]
        found = find_gaps(rhythm_of(arrivals(DAY, rows, seed, shape=0.8), DAY), before_of(rows, 8, 0.8), DAY)
        assert found.is_empty(), found


def test_a_silence_that_is_usual_at_that_hour_is_no_gap_though_it_would_be_at_another() -> None:
    nightly = [without(arrivals(DAY, 20_000, 3), 3600 * 2, 1200)]
    past = []
    for back in (7, 14, 21, 28):
        day = DAY - timedelta(days=back)
        since = midnight_us(day) + 2 * 3600 * 10**6
        times = arrivals(day, 20_000, 3)
        past.append(
            rhythm_of(times[(times < since) | (times > since + 1200 * 10**6)], day).with_columns(day=pl.lit(day))
        )
    assert find_gaps(rhythm_of(nightly[0], DAY), pl.concat(past), DAY).is_empty()
    elsewhere = without(arrivals(DAY, 20_000, 3), 3600 * 14, 1200)
    assert find_gaps(rhythm_of(elsewhere, DAY), pl.concat(past), DAY).height == 1


def test_an_hour_in_which_the_whole_venue_is_calm_is_no_gap_and_an_outage_of_all_is_one() -> None:
    keys = tuple(f"BINANCE:SPOT_PAIR:{name}-USDT" for name in ("ADA", "BTC", "ETH", "XRP"))
    before = before_of(20_000, 8, keys=keys)
    quiet = 3600 * 5, 3600 * 9

    def day(share: float, outage: float) -> pl.DataFrame:
        frames = []
        for at, key in enumerate(keys):
            times = arrivals(DAY, 20_000, 90 + at)
            inside = (times >= midnight_us(DAY) + quiet[0] * 10**6) & (times < midnight_us(DAY) + quiet[1] * 10**6)
            kept = times[~inside | (np.random.default_rng(at).random(len(times)) < share)]
            frames.append(rhythm_of(without(kept, 3600 * 15, outage) if outage else kept, DAY, key))
        return pl.concat(frames)

    assert find_gaps(day(0.3, 0), before, DAY).is_empty()
    assert find_gaps(day(1.0, 300), before, DAY).height == len(keys)


def test_who_is_too_quiet_is_not_judged() -> None:
    judged = visible_from(rhythm_of(arrivals(DAY, 50_000, 1), DAY), before_of(1, 0), DAY)
    assert judged["visible_from_seconds"].is_between(15, 60).all()
    for rows in (0, 3, 40):
        quiet = rhythm_of(arrivals(DAY, rows, 1), DAY)
        assert visible_from(quiet, before_of(rows, 8), DAY)["visible_from_seconds"].to_list() == [None] * 24
        assert find_gaps(quiet, before_of(rows, 8), DAY).is_empty()


def test_a_day_without_rows_is_one_gap_of_an_instrument_that_had_them() -> None:
    found = find_gaps(rhythm_of(np.empty(0, np.int64), DAY), before_of(20_000, 8), DAY)
    assert [(it["start_us"], it["end_us"]) for it in found.to_dicts()] == [
        (midnight_us(DAY), midnight_us(DAY) + DAY_US)
    ]


def test_ids_tell_how_many_rows_are_missing_only_where_they_are_contiguous() -> None:
    times = arrivals(DAY, 20_000, 1)
    for step, expected in ((1, True), (3, False)):
        ids = np.arange(len(times)) * step
        since = midnight_us(DAY) + 3600 * 10 * 10**6
        kept = (times < since) | (times > since + 300 * 10**6)
        meter = RhythmMeter(DAY)
        frame = pl.DataFrame({"local_timestamp": times[kept].view("datetime64[us]"), "id": ids[kept].astype(str)})
        for part in (frame[:5000], frame[5000:]):
            meter.add(part)
        found = find_gaps(meter.hours(KEY), before_of(1, 0), DAY)
        assert found["ids_missing"].to_list() == [int((~kept).sum()) if expected else None]


def by_hour(rates: list[float], seed: int, day: date = DAY) -> np.ndarray:
    """Return instants of a day with so many rows in each hour."""
    rng = np.random.default_rng([seed, day.toordinal()])
    drawn = [hour + rng.random(rng.poisson(rate)) for hour, rate in enumerate(rates)]
    return np.sort(midnight_us(day) + (np.concatenate(drawn) * 3600 * 1e6).astype(np.int64))


NIGHTLY = [60.0] * 9 + [3600.0] * 15


def test_at_night_an_instrument_sees_no_shorter_silences_than_its_nights_have() -> None:
    before = pl.concat(
        rhythm_of(by_hour(NIGHTLY, 3, DAY - timedelta(days=back)), DAY - timedelta(days=back)).with_columns(
            day=pl.lit(DAY - timedelta(days=back))
        )
        for back in range(1, 8)
    )
    seen = visible_from(rhythm_of(by_hour(NIGHTLY, 4), DAY), before, DAY)["visible_from_seconds"]
    assert seen[1:8].min() > 300  # type: ignore[operator]
    assert seen[10:23].max() < 60  # type: ignore[operator]


@pytest.mark.parametrize("night", [4, 9, 14])
@pytest.mark.parametrize("times", [10, 30, 60])
def test_nights_are_no_gaps_on_the_first_day_of_a_lake(night: int, times: int) -> None:
    rates = [3600.0 / times] * night + [3600.0] * (24 - night)
    for seed in range(4):
        assert find_gaps(rhythm_of(by_hour(rates, seed), DAY), before_of(1, 0), DAY).is_empty()


def test_an_outage_that_comes_and_goes_is_found_in_all_its_parts() -> None:
    times = arrivals(DAY, 80_000, 1)
    for part in range(40):
        times = without(times, 3600 * 10 + 90 * part, 60)
    found = find_gaps(rhythm_of(times, DAY), before_of(80_000, 5), DAY)
    assert found.height == 40
    assert int((found["end_us"] - found["start_us"]).sum()) == pytest.approx(40 * 60e6, rel=0.05)


def test_a_row_out_of_order_makes_no_silence() -> None:
    times = arrivals(DAY, 50_000, 1)
    times[20_000], times[40_000] = times[40_000], times[20_000]
    meter = RhythmMeter(DAY)
    meter.add(pl.DataFrame({"local_timestamp": times.view("datetime64[us]")}))
    silences = silences_of(meter.hours(KEY))
    assert all(times[(times > start) & (times < end)].size == 0 for _, start, end, _ in silences.iter_rows())


def with_ids(times: np.ndarray, ids: np.ndarray, day: date = DAY) -> pl.DataFrame:
    meter = RhythmMeter(day)
    frame = pl.DataFrame({"local_timestamp": times.view("datetime64[us]"), "id": ids.astype(str)})
    for at in range(0, frame.height, 997):
        meter.add(frame[at : at + 997])
    return meter.hours(KEY)


@pytest.mark.parametrize("rows", [150, 500, 5_000])
@pytest.mark.parametrize("lost", [1, 3, 30])
def test_a_jump_of_contiguous_ids_is_a_gap_however_short_and_on_however_few_rows(rows: int, lost: int) -> None:
    """What was contiguous on the days before is so on a day that lost rows one by one."""
    earlier = [DAY - timedelta(days=back) for back in range(1, 5)]
    before = pl.concat(
        with_ids(arrivals(day, rows, 1), np.arange(rows), day).with_columns(day=pl.lit(day)) for day in earlier
    )
    times = arrivals(DAY, rows, 1)
    gone = np.random.default_rng([rows, lost]).choice(np.arange(1, rows - 1, 2), lost, replace=False)
    kept = np.setdiff1d(np.arange(rows), gone)
    rhythm = with_learned_ids(with_ids(times[kept], kept), before)
    found = find_gaps(rhythm, before, DAY).filter(pl.col("ids_missing") > 0)
    assert found["ids_missing"].sum() == lost
    whole = with_learned_ids(with_ids(times, np.arange(rows)), before)
    assert find_gaps(whole, before, DAY).is_empty()
    midnight = midnight_us(DAY)
    at_edge = (pl.col("start_us") == midnight) | (pl.col("end_us") == midnight + DAY_US)
    # of the days beside nothing is known
    assert silences_of(whole).filter(at_edge)["ids_missing"].drop_nulls().is_empty()
    assert silences_of(whole).filter(~at_edge)["ids_missing"].null_count() == 0


def test_silences_are_cut_where_an_instrument_ended_to_trade() -> None:
    at = midnight_us(DAY) + 8 * 3600 * 10**6
    times = arrivals(DAY, 20_000, 1)
    times = times[times < at - 100 * 10**6]
    rhythm, usual = rhythm_of(times, DAY), usual_silences(rhythm_of(times, DAY), before_of(20_000, 8), DAY)
    (whole,) = gaps.find_gaps(rhythm, usual, DAY).to_dicts()
    before, after = gaps.find_gaps(rhythm, usual, DAY, Edges(cuts={KEY: [at]})).to_dicts()
    assert (before["start_us"], before["end_us"], after["end_us"]) == (whole["start_us"], at, whole["end_us"])
    assert after["start_us"] == at
    assert before["expected_rows"] < 60 < after["expected_rows"]


@pytest.mark.parametrize("at_end", [False, True])
def test_a_silence_over_midnight_is_judged_as_a_whole(*, at_end: bool) -> None:
    times, before = arrivals(DAY, 20_000, 2), before_of(20_000, 8)
    half = 60 * 10**6  # too short for itself
    start, end = midnight_us(DAY), midnight_us(DAY) + DAY_US
    kept = times[times < end - half] if at_end else times[times > start + half]
    rhythm = rhythm_of(kept, DAY)
    usual = usual_silences(rhythm, before, DAY)
    assert gaps.find_gaps(rhythm, usual, DAY).is_empty()
    edges = Edges(silent_after={KEY: half}) if at_end else Edges(silent_before={KEY: half})
    (found,) = gaps.find_gaps(rhythm, usual, DAY, edges).to_dicts()
    assert (found["end_us"] == end) if at_end else (found["start_us"] == start)
    assert 60 <= (found["end_us"] - found["start_us"]) / 1e6 < 90
