"""The JSON schemas of what people write and what others read: a change of them is seen, and meant.

What is added is written anew with `market-data schema receipt.json > market_data_tests/golden/receipt.schema.json` (and
`venues.yaml`); what would be misread by former versions needs what `market_data/lake/FORMAT.md` says of it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from market_data.cli.commands import DOCUMENT_SCHEMAS

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("name", DOCUMENT_SCHEMAS)
def test_the_schema_is_the_golden_one(name: str) -> None:
    golden = json.loads((FOLDER / f"{Path(name).stem}.schema.json").read_text(encoding="utf-8"))
    assert DOCUMENT_SCHEMAS[name].model_json_schema() == golden


def test_a_receipt_needs_no_more_than_it_ever_did() -> None:
    schema = DOCUMENT_SCHEMAS["receipt.json"].model_json_schema()
    assert set(schema["required"]) <= {"origin", "venue", "data_type", "day"}
    assert schema["additionalProperties"] is True
