"""The lake in memory obeys the contract that the real lakes are held to."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from market_data_tests.fakes import MemoryLake
from market_data_tests.lake import test_lake as contract

OBEYED = (
    contract.test_what_was_put_is_what_is_read,
    contract.test_an_empty_object_is_an_object,
    contract.test_a_key_that_holds_nothing_has_no_stat_and_cannot_be_read,
    contract.test_a_listing_is_recursive_sorted_by_key_and_stops_at_the_prefix,
    contract.test_a_listing_with_crc32c_says_what_each_stat_says,
    contract.test_several_folders_are_listed_as_each_of_them_is,
    contract.test_one_level_is_its_folders_and_its_objects,
    contract.test_every_write_of_a_key_changes_its_generation,
    contract.test_a_generation_decides_whether_a_write_happens,
    contract.test_a_generation_decides_whether_a_copy_happens,
    contract.test_copying_twice_or_onto_itself_changes_no_bytes,
    contract.test_a_generation_decides_whether_a_delete_happens,
    contract.test_a_prefix_without_a_final_slash_and_a_negative_generation_are_refused,
    contract.test_a_source_file_that_cannot_be_read_is_named,
    contract.test_32_threads_write_copy_and_delete_side_by_side,
)


@pytest.mark.parametrize("is_local", [False, True])
@pytest.mark.parametrize("test", OBEYED, ids=lambda test: test.__name__)
def test_the_lake_in_memory_obeys(test: Any, tmp_path: Path, *, is_local: bool) -> None:
    fixtures = {"lake": MemoryLake(is_local=is_local), "tmp_path": tmp_path}
    test(**{name: fixtures[name] for name in inspect.signature(test).parameters})
