"""The merge rules of a receipt: pure, so each is one small before-and-after."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from pydantic import ValidationError

from market_data.lake.keys import PublishedName, receipt_key
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay, Outcome, TickFile
from market_data.receipts.evidence import FileEvidence, expected_file
from market_data.receipts.receipt import VOLATILE_FIELDS, PublishedObject, Receipt, State, lasting_facts
from market_data.receipts.store import load_receipt, save_receipt
from market_data_tests.fakes import MemoryLake

UNIT = DataTypeDay("BINANCE", DataType.TRADES, date(2024, 8, 8))
EMPTY = Receipt(origin="https://vendor.example", venue=UNIT.venue, data_type=UNIT.data_type, day=UNIT.day)
LAYOUTS = ("by_date", "by_venue")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def tick_file(symbol: str, instrument_type: str = "SPOT_PAIR") -> TickFile:
    return TickFile(UNIT, symbol, instrument_type, f"BINANCE:{instrument_type}:{symbol}")


def group_file(symbol: str = "OPTIONS", instrument_type: str = "OPTION") -> TickFile:
    return TickFile(UNIT, symbol, instrument_type, None)


def evidence(file: TickFile, outcome: Outcome | None = Outcome.STORED) -> FileEvidence:
    return FileEvidence(
        vendor_symbol=file.vendor_symbol,
        instrument_type=file.instrument_type,
        instrument_key=file.instrument_key,
        outcome=outcome,
        rows=1 if outcome is Outcome.STORED else None,
    )


def published(file: TickFile, stem: str | None = None) -> PublishedObject:
    return PublishedObject(
        vendor_symbol=file.vendor_symbol,
        instrument_type=file.instrument_type,
        instrument_key=file.instrument_key,
        stem=stem or file.vendor_symbol,
        rows=1,
        size_bytes=1,
        crc32c="AAAAAA==",
        generations=dict.fromkeys(LAYOUTS, 7),
    )


def committed(*files: TickFile) -> Receipt:
    claimed = EMPTY.claimed_by("first", files, "config").with_evidence(evidence(file) for file in files)
    return claimed.committed([published(file) for file in files], decoder_version="1", layouts=LAYOUTS, at=AT)


def outcomes(receipt: Receipt) -> dict[str, Outcome | None]:
    return {file.vendor_symbol: file.outcome for file in receipt.files}


A, B, C = tick_file("A"), tick_file("B"), tick_file("C")
OPTIONS, CALL, PUT = group_file(), tick_file("CALL", "OPTION"), tick_file("PUT", "OPTION")


def test_a_claim_freezes_the_expected_set_sorted_and_open() -> None:
    claimed = EMPTY.claimed_by("me", [B, A], "config")
    assert (claimed.claim, claimed.config_hash, claimed.state) == ("me", "config", "open")
    assert outcomes(claimed) == {"A": None, "B": None}
    assert [file.vendor_symbol for file in claimed.files] == ["A", "B"]
    assert claimed.open_files == claimed.files
    assert EMPTY.files == ()


def test_a_claim_keeps_the_evidence_of_files_that_are_asked_for_again() -> None:
    before = EMPTY.claimed_by("one", [A, B], "config").with_evidence([evidence(A), evidence(B, Outcome.FAILED)])
    assert outcomes(before.claimed_by("two", [A, B, C], "config")) == {"A": "stored", "B": "failed", "C": None}


def test_a_claim_on_a_committed_day_leaves_its_publication_as_it_is() -> None:
    before = committed(A)
    after = before.claimed_by("two", [A, B], "other config")
    assert (after.state, after.objects, after.layouts, after.committed_at, after.decoder_version) == (
        "committed",
        before.objects,
        LAYOUTS,
        AT,
        "1",
    )


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome.is_accounted])
def test_a_narrowed_configuration_keeps_the_evidence_of_what_it_no_longer_asks_for(outcome: Outcome) -> None:
    before = EMPTY.claimed_by("one", [A, B], "wide").with_evidence([evidence(A), evidence(B, outcome)])
    assert outcomes(before.claimed_by("two", [A], "narrow")) == {"A": "stored", "B": outcome}


@pytest.mark.parametrize("outcome", [None, Outcome.FAILED])
def test_a_narrowed_configuration_forgets_an_open_file_that_was_never_published(outcome: Outcome | None) -> None:
    before = EMPTY.claimed_by("one", [A, B], "wide").with_evidence([evidence(A), evidence(B, outcome)])
    assert outcomes(before.claimed_by("two", [A], "narrow")) == {"A": "stored"}


@pytest.mark.parametrize("outcome", [None, Outcome.FAILED])
def test_a_narrowed_configuration_keeps_an_open_file_that_is_still_published(outcome: Outcome | None) -> None:
    before = committed(A, B).with_evidence([evidence(B, outcome)])
    assert outcomes(before.claimed_by("two", [A], "narrow")) == {"A": "stored", "B": outcome}


def test_a_group_supersedes_the_single_files_of_its_instrument_type_only() -> None:
    before = committed(A, CALL, PUT)
    assert outcomes(before.claimed_by("two", [A, OPTIONS], "config")) == {"A": "stored", "OPTIONS": None}
    assert outcomes(before.claimed_by("two", [group_file("SPOT", "SPOT_PAIR")], "config")) == {
        "CALL": "stored",
        "PUT": "stored",
        "SPOT": None,
    }


def test_single_files_supersede_the_group_of_their_instrument_type() -> None:
    assert outcomes(committed(A, OPTIONS).claimed_by("two", [A, CALL], "config")) == {"A": "stored", "CALL": None}


def test_a_group_that_is_published_comes_back_when_what_should_replace_it_was_never_whole() -> None:
    halfway = committed(A, OPTIONS).claimed_by("two", [A, CALL, PUT], "config")
    halfway = halfway.with_evidence([evidence(CALL), evidence(PUT, Outcome.FAILED)]).released()
    assert outcomes(halfway) == {"A": "stored", "CALL": "stored", "PUT": "failed"}
    assert outcomes(halfway.claimed_by("three", [A], "config")) == {"A": "stored", "OPTIONS": None}


def test_a_renamed_instrument_key_opens_its_file_again() -> None:
    renamed = TickFile(UNIT, "A", "PERPETUAL", "BINANCE:PERPETUAL:A")
    (file,) = committed(A).claimed_by("two", [renamed], "config").files
    assert (file.outcome, file.instrument_type, file.instrument_key) == (None, "PERPETUAL", "BINANCE:PERPETUAL:A")


def test_newer_evidence_replaces_that_of_its_own_file_and_adds_none() -> None:
    before = EMPTY.claimed_by("me", [A, B], "config")
    after = before.with_evidence([evidence(B), evidence(C)])
    assert outcomes(after) == {"A": None, "B": "stored"}
    assert outcomes(before) == {"A": None, "B": None}


def test_a_commit_sorts_the_objects_and_gives_the_claim_back() -> None:
    claimed = EMPTY.claimed_by("me", [A, OPTIONS], "config").with_evidence([evidence(A), evidence(OPTIONS)])
    objects = [published(OPTIONS, "ETH~OPTIONS"), published(OPTIONS, "BTC~OPTIONS"), published(A)]
    after = claimed.committed(objects, decoder_version="2", layouts=LAYOUTS, at=AT)
    assert [item.stem for item in after.objects] == ["A", "BTC~OPTIONS", "ETH~OPTIONS"]
    assert (after.state, after.claim, after.decoder_version, after.layouts, after.committed_at) == (
        "committed",
        None,
        "2",
        LAYOUTS,
        AT,
    )
    assert after.files == claimed.files


def test_a_release_gives_back_the_claim_and_nothing_else() -> None:
    before = committed(A).claimed_by("two", [A, B], "config").with_evidence([evidence(B, Outcome.FAILED)])
    after = before.released()
    assert after == before.model_copy(update={"claim": None})
    assert after.state == "committed"


def test_a_day_is_complete_only_when_committed_without_open_files() -> None:
    whole = committed(A)
    assert whole.is_complete
    assert not whole.claimed_by("two", [A, B], "config").is_complete
    assert not whole.changed(state=State.REPLACING).is_complete
    assert not EMPTY.claimed_by("me", [A], "config").with_evidence([evidence(A)]).is_complete
    assert committed().is_complete


def test_a_publication_is_of_one_decoder_and_one_list_of_layouts() -> None:
    whole = committed(A)
    assert whole.is_published_by("1", LAYOUTS)
    assert not whole.is_published_by("2", LAYOUTS)
    assert not whole.is_published_by("1", LAYOUTS[:1])
    assert not whole.is_published_by("1", LAYOUTS[::-1])
    assert not whole.changed(state=State.REPLACING).is_published_by("1", LAYOUTS)
    assert not EMPTY.is_published_by("1", LAYOUTS)


def test_counts_name_every_outcome_and_the_files_nobody_has_tried() -> None:
    files = [tick_file(name) for name in "ABCDEF"]
    tried = [
        Outcome.STORED,
        Outcome.STORED,
        Outcome.VENDOR_EMPTY,
        Outcome.NOT_OFFERED,
        Outcome.FAILED,
    ]
    receipt = EMPTY.claimed_by("me", files, "config").with_evidence(map(evidence, files, tried))
    assert receipt.counts() == {
        "stored": 2,
        "vendor_empty": 1,
        "not_offered": 1,
        "waived": 0,
        "failed": 1,
        "removed": 0,
        "open": 1,
    }


def test_only_a_failed_or_untried_file_is_not_accounted_for() -> None:
    accounted = {outcome for outcome in (None, *Outcome) if evidence(A, outcome).is_accounted}
    assert accounted == {Outcome.STORED, Outcome.VENDOR_EMPTY, Outcome.NOT_OFFERED, Outcome.WAIVED}


def test_lasting_facts_leave_out_every_volatile_field_at_any_depth() -> None:
    first, second = (
        committed(A)
        .claimed_by(writer, [A], "config")
        .with_evidence(
            [evidence(A).model_copy(update={"url": writer, "attempts": number, "seconds": 0.5, "generation": number})]
        )
        .committed(
            [published(A).model_copy(update={"generations": {"by_date": number}})],
            decoder_version="1",
            layouts=LAYOUTS,
            at=AT.replace(hour=number),
        )
        for number, writer in enumerate(("one", "two"), 1)
    )
    documents = [receipt.model_dump(mode="json") for receipt in (first, second)]
    assert documents[0] != documents[1]
    assert lasting_facts(documents[0]) == lasting_facts(documents[1])
    text = repr(lasting_facts(documents[0]))
    assert not [name for name in VOLATILE_FIELDS if f"'{name}'" in text]
    assert lasting_facts(committed(A).model_dump(mode="json")) != lasting_facts(committed(B).model_dump(mode="json"))


@pytest.mark.parametrize(
    "receipt", [EMPTY, committed(), committed(A), committed(A).claimed_by("two", [A, B], "config")]
)
def test_a_receipt_is_kept_without_its_defaults_and_is_read_as_it_was(receipt: Receipt) -> None:
    lake = MemoryLake()
    later = receipt.model_validate({**receipt.model_dump(), "later": {"anything": [1]}})
    save_receipt(lake, later, 0)
    data, _ = lake.get_bytes(receipt_key(receipt.unit))
    assert load_receipt(lake, receipt.unit)[0] == later
    document = json.loads(data)
    assert {"state", "files", "objects", "layouts", "later"} <= document.keys()
    assert "null" not in data.decode()
    assert len(data) < 0.7 * len(later.model_dump_json(indent=1))


def test_a_receipt_survives_its_own_json() -> None:
    receipt = committed(A, OPTIONS)
    assert Receipt.model_validate_json(receipt.model_dump_json()) == receipt
    assert receipt.unit == UNIT
    assert receipt.objects[0].name(UNIT) == PublishedName(UNIT, "SPOT_PAIR", "A")


@pytest.mark.parametrize("change", [{"day": "soon"}, {"files": [{}]}, {"origin": None}, {"data_type": "news"}])
def test_a_document_of_another_schema_is_no_receipt(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Receipt.model_validate(EMPTY.model_dump() | change)


def test_a_file_that_is_opened_again_is_still_of_the_first_or_last_day_of_its_instrument() -> None:
    file = replace(tick_file("BTCUSDT"), is_first_day=True)
    evidence_of_file = expected_file(file)
    for opened in (evidence_of_file.opened(), evidence_of_file.opened().opened()):
        assert (opened.is_first_day, opened.is_last_day) == (True, False)
    assert not published(file).opened_file().is_first_day
