"""A small business with an order in every state, a draft, books and waiting letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from business import NOW, ORDERS, add_order, write

from downstream.shop import errands

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def business(home: Path) -> Path:
    """An installation with five orders, a draft, books, reports and a waiting letter."""
    for stream_id, state in ORDERS.items():
        add_order(home, stream_id, state)
    write(home / "streams" / ".drafts" / "draft-1.json", '{"draft": 1}')
    write(home / "streams" / ".payments" / "pi_1", "order-review")
    write(home / "streams" / ".rehearsals" / "x" / "jobs" / "pending" / "a.json", "{}")
    write(home / "logs" / "ledger" / "2026-11.jsonl", '{"what": "reserved"}\n{"what": "settl')
    write(home / "logs" / "reviews" / "daily-2026-11-23.md", "# A day")
    write(home / "logs" / "outbox" / "1.json", '{"sentences": ["an alarm of the past"]}')
    write(home / "logs" / "alerts.json", "{}")
    write(home / "triggers" / "daily-2026-11-23.done", "")
    write(home / "jobs" / ".limits" / "gemini.json", "{}")
    write(home / "jobs" / "failed" / "no job.json", "{")
    write(home / "jobs" / "failed" / "no job.json.reason.txt", "it is none")
    write(home / ".env", "STRIPE_API_KEY=sk_test_planted\nRESTIC_PASSWORD=\n")
    errands.put(home, "order-failed", errands.REFUND, NOW)
    return home
