"""What the simulated venues report about their outages."""

from __future__ import annotations

from datetime import datetime

# exchange id: (from, to, status, details)
_INCIDENTS: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "binance": (
        ("2023-03-24T11:30", "2023-03-24T14:00", "wontfix", "The exchange halted spot trading."),
        ("2026-11-03T08:10", "2026-11-03T08:25", "unresolved", "Late messages; being looked into."),
    ),
    "binance-futures": (("2023-03-24T11:30", "2023-03-24T14:00", "wontfix", "The exchange was under maintenance."),),
    "bitmex": (("2020-05-19T12:00", "2020-05-19T13:40", "wontfix", "The exchange's engine stopped."),),
    "deribit": (
        ("2020-03-12T09:15", "2020-03-12T10:05", "resolved", "Missing book messages, collected again later."),
        ("2024-08-05T06:30", "2024-08-05T07:10", "wontfix", "The recorder lost its connection."),
    ),
    "ftx": (("2022-11-11T00:00", "2022-11-13T00:00", "wontfix", "The exchange halted trading."),),
    "kraken": (("2026-07-10T00:00", "2026-07-10T02:30", "resolved", "The move to feed v2 left a gap."),),
    "okex-options": (("2021-02-25T09:00", "2021-02-25T09:45", "wontfix", "No tickers from the exchange."),),
}


def incidents_of(exchange_id: str, now: datetime) -> list[dict[str, str]]:
    """Return the incidents of an exchange that have begun by `now` (UTC)."""
    return [
        {"from": f"{start}:00.000Z", "to": f"{end}:00.000Z", "status": status, "details": f"Simulated: {details}"}
        for start, end, status, details in _INCIDENTS.get(exchange_id, ())
        if start <= f"{now:%Y-%m-%dT%H:%M}"
    ]
