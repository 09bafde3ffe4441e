"""Acts on a unit killed with `kill -9` at any moment: done again, the lake is as if nobody had killed them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from market_data.index.compact import compact_index
from market_data.index.store import read_units
from market_data.index.unit import index_receipt
from market_data.ingest.sweep import sweep_unit
from market_data.lake.base import TickLake
from market_data.lake.keys import object_key
from market_data.lake.open import open_lake
from market_data.lake.origin import ensure_origin
from market_data.receipts.receipt import Receipt, lasting_facts
from market_data.receipts.store import load_receipt
from market_data_tests.ingesting import ROOT
from market_data_tests.keeper import ACTS, AT, FIRST
from market_data_tests.publishing import ORIGIN, UNIT, Workshop, contents, find_falsehoods

_LEFT = b"left by nobody"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    (tmp_path / "workshop").mkdir()
    return Workshop(tmp_path / "workshop")


def prepare(lake: TickLake, act: str, workshop: Workshop) -> None:
    """A lake with the unit published, but for the act that does so, and something to sweep."""
    ensure_origin(lake, ORIGIN)
    if act == "fresh":
        return
    receipt = workshop.run(lake, FIRST)
    if act == "sweep":
        lake.put_bytes(_LEFT, object_key("by_date", receipt.objects[0].changed(content_id="0" * 16).name(UNIT)))


def receipt_of(lake: TickLake) -> tuple[Receipt, int]:
    receipt, generation = load_receipt(lake, UNIT)
    assert receipt is not None
    return receipt, generation


def facts_of(lake: TickLake) -> object:
    """All that two equal lakes have in common: data, and what lasts of the receipt."""
    return contents(lake), lasting_facts(receipt_of(lake)[0].model_dump(mode="json"))


def kill(act: str, lake_url: str, folder: Path, seconds: float | None) -> float:
    """Let a process do an act and kill it after some seconds (None: let it end); give how long it was at work."""
    command = [sys.executable, "-W", "ignore", "-m", "market_data_tests.keeper", act, lake_url, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        started = time.monotonic()
        process.stdin.write("go\n")
        process.stdin.flush()
        if seconds is None:
            assert process.wait() == 0
        else:
            time.sleep(seconds)
            process.kill()
        return time.monotonic() - started


def assert_readers_see_the_receipt(lake: TickLake) -> None:
    found = read_units(lake, {UNIT.venue: (UNIT.data_type,)}, [UNIT.day])
    receipt, generation = load_receipt(lake, UNIT)
    assert found == ({UNIT: index_receipt(receipt, generation)} if receipt else {})
    if receipt is not None:
        assert find_falsehoods(lake, receipt) == set()


def kill_and_do_again(act: str, make_lake_url: Callable[[], str], workshop: Workshop, *, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    url = make_lake_url()
    prepare(open_lake(url), act, workshop)
    whole_seconds = kill(act, url, workshop.new_folder(), None)
    wanted = facts_of(open_lake(url))
    for _ in range(kills):
        url = make_lake_url()
        lake = open_lake(url)
        prepare(lake, act, workshop)
        kill(act, url, workshop.new_folder(), rng.uniform(0, 1.1) * whole_seconds)
        assert_readers_see_the_receipt(lake)
        ACTS[act](lake, workshop)
        sweep_unit(lake, UNIT, AT - AT, lambda: AT)
        assert facts_of(lake) == wanted
        assert_readers_see_the_receipt(lake)
        list(compact_index(lake))
        assert_readers_see_the_receipt(lake)


@pytest.mark.parametrize("make_lake_url", ["local"], indirect=True)
@pytest.mark.parametrize("act", ["compact", "delete_day"])
def test_an_act_killed_once_is_done_again(act: str, make_lake_url: Callable[[], str], workshop: Workshop) -> None:
    kill_and_do_again(act, make_lake_url, workshop, kills=1, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("act", ACTS)
def test_acts_killed_at_many_moments_are_done_again(
    act: str, make_lake_url: Callable[[], str], workshop: Workshop
) -> None:
    kill_and_do_again(act, make_lake_url, workshop, kills=12, seed=2)
