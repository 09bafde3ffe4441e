"""The report of an acceptance as a JSON document, for people to send: no row of any file and no key is in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from market_data.accept.assumption import Judged
from market_data.accept.evidence import Evidence
from market_data.vendor.answer import Answer

_DIFFERENCES = 20


def make_report(judged: Sequence[Judged], evidence: Evidence, about: dict[str, Any]) -> str:
    """Return the document: `about` (what was asked, when, by which version), each assumption, each file."""
    document = {
        **about,
        "assumptions": [
            {
                "name": item.assumption.name,
                "mark": item.assumption.mark,
                "says": item.assumption.says,
                "verdict": item.verdict.value,
                "seen": item.seen,
                "differences": list(item.differences[:_DIFFERENCES]),
            }
            for item in judged
        ],
        "venues": [
            {
                "venue": seen.venue,
                "day": seen.day,
                "details": _describe(seen.details),
                "instruments": _describe(seen.instruments),
                "listed": len(seen.universe.listed) if seen.universe else None,
                "error": seen.error,
            }
            for seen in evidence.venues
        ],
        "files": [
            {
                "file": str(file),
                "answer": _describe(file.answer),
                "taken": file.evidence.model_dump(mode="json", exclude_defaults=True) if file.evidence else None,
                "facts": dict(file.facts),
            }
            for file in evidence.files
        ],
        "refusals": [{"asked": why, "answer": _describe(answer)} for why, answer in evidence.refusals],
    }
    return json.dumps(document, indent=1, default=str)


def _describe(answer: Answer) -> dict[str, Any]:
    return {
        "url": answer.url,
        "status": answer.status,
        "headers": dict(answer.headers),
        "hosts": answer.hosts,
        "seconds": round(answer.seconds, 3),
        "bytes": len(answer.body),
        "refusal": answer.refusal,
        "error": answer.error,
    }
