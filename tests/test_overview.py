"""``downstream status`` and ``show``: where every order stands, told from the files."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from downstream.domain.errors import Misconfigured, OnHold
from downstream.domain.job import Failure, Job, What
from downstream.domain.order import Order, Paid, Typed
from downstream.domain.state import State
from downstream.heartbeat import write_heartbeat
from downstream.holds import REFUNDED, Hold, hold
from downstream.job_file import StillWritten, Unreadable
from downstream.ledger import Caps, Ledger
from downstream.limits import SharedGate
from downstream.locks import Lock
from downstream.overview import MOST_PENDING, Door, life, status
from downstream.queue import NoSuchJob, Queue
from downstream.receipts import Phase, Receipts
from downstream.settings import Secret, Settings
from downstream.shop import errands
from downstream.shop.agreements import consents
from downstream.shop.errands import Errand
from downstream.shop.orders import Orders

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
SETTINGS = Settings(cap_per_day_cents=2_000, cap_per_month_cents=30_000)


def put(home: Path, state: str, stream_id: str, **fields: Any) -> None:
    """A job in any folder."""
    job = Job(stream_id=stream_id, customer_email="test@test.com", arrived_at=NOW, **fields)
    (home / "jobs" / state / f"{stream_id}.json").write_bytes(job.to_json())


def rows(home: Path) -> dict[str, tuple[str, str]]:
    """Stream id to state and note."""
    return {row.stream_id: (row.state, row.note) for row in status(home, NOW, SETTINGS).jobs}


def test_every_folder_is_counted_and_every_open_order_has_its_line(home: Path) -> None:
    put(home, "failed", "bad", failure=Failure(kind="refused", reason="the filter said no", at=NOW))
    put(home, "failed", "silent")
    put(home, "review", "made")
    put(home, "review", "approved")
    with_approval = Queue(home).read(State.REVIEW, "approved.json").noting(What.APPROVED, at=NOW, who="review")
    (home / "jobs/review/approved.json").write_bytes(with_approval.to_json())
    put(home, "processing", "left")
    put(home, "processing", "alive")
    put(home, "pending", "new")
    put(home, "pending", "paid", paid_amount=49)
    put(home, "pending", "later", not_before=NOW + timedelta(minutes=90), tries=3)
    put(home, "completed", "old")
    (home / "streams/alive").mkdir()
    (home / "streams/alive/production.json").write_text("{}")
    (home / "streams/alive/clips").mkdir()
    (home / "streams/alive/clips/01.mp4").write_text("")
    (home / "streams/alive/clips/.02.mp4").write_text("")

    with Lock.wait(home / "streams/alive/lock"):
        found = rows(home)

    assert status(home, NOW, SETTINGS).counts == {
        "pending": 3,
        "processing": 2,
        "review": 2,
        "completed": 1,
        "failed": 2,
    }
    assert found == {
        "bad": ("failed", "the filter said no"),
        "silent": ("failed", "no reason is noted"),
        "made": ("review", "waits for review"),
        "approved": ("review", "approved, being delivered"),
        "left": ("processing", "left by a crash, resumed at the next tick: nothing yet"),
        "alive": ("processing", "being made: plan 1, clips 1"),
        "new": ("pending", ""),
        "paid": ("pending", "for outside services"),
        "later": ("pending", "tried 3 times, again in 90 min"),
    }


def test_what_waits_comes_in_the_order_of_service_and_only_its_head(home: Path) -> None:
    for number in range(MOST_PENDING + 5):
        put(home, "pending", f"job-{number:02d}", paid_at=NOW - timedelta(minutes=number))

    found = status(home, NOW, SETTINGS)

    last = MOST_PENDING + 4
    assert [row.stream_id for row in found.jobs] == [f"job-{number:02d}" for number in range(last, 4, -1)]
    assert found.counts["pending"] == MOST_PENDING + 5


def test_money_and_time_are_told(home: Path) -> None:
    put(home, "review", "paid", paid_amount=49.5, paid_at=NOW - timedelta(days=1))
    put(home, "review", "voucher", paid_amount=0, paid_at=NOW)
    put(home, "review", "test")

    found = {row.stream_id: (row.paid, row.since) for row in status(home, NOW, SETTINGS).jobs}

    assert found == {
        "paid": ("49.50 EUR", "2026-01-05T12:00+00:00"),
        "voucher": ("0.00 EUR", "2026-01-06T12:00+00:00"),
        "test": ("no", "2026-01-06T12:00+00:00"),
    }


def test_files_that_are_no_jobs_have_their_line_too_and_names_are_made_printable(home: Path) -> None:
    for state in ("failed", "review", "processing", "pending"):
        (home / "jobs" / state / f"list-{state}.json").write_text("[]")
        Path(os.fsdecode(bytes(home / "jobs" / state) + b"/\xff\x1b.json")).write_text("[]")
    (home / "jobs/failed/colon: in name.json").write_text("[]")

    found = status(home, NOW, SETTINGS)

    assert {row.note for row in found.jobs} == {"not a job: it is not a JSON object"}
    names = {row.stream_id for row in found.jobs}
    assert names == {"list-failed", "list-review", "list-processing", "list-pending", "__", "colon: in name"}
    assert json.dumps(found.as_json()).encode()


def test_a_half_written_job_is_passed_over(home: Path) -> None:
    put(home, "pending", "test")
    status(home, NOW, SETTINGS)
    (home / "jobs/pending/test.json").write_text('{"stream_id"')

    assert status(home, NOW, SETTINGS).jobs == []


def test_a_job_claimed_or_opened_by_an_editor_just_after_the_listing_is_passed_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home, "pending", "stays")
    (home / "jobs/pending/edited.json").write_text('{"stream_id"')
    listed = [("claimed.json", False), ("edited.json", False), ("stays.json", False)]
    monkeypatch.setattr(Queue, "waiting", lambda _: listed)

    assert list(rows(home)) == ["stays"]


def test_looking_changes_no_job_and_needs_no_heartbeat(home: Path) -> None:
    put(home, "pending", "test")
    put(home, "processing", "left")
    (home / "jobs/pending/bad name.json").write_text("[]")
    (home / "HEARTBEAT.md").unlink()
    before = {path: path.read_bytes() for path in home.glob("jobs/*/*")}

    found = status(home, NOW, SETTINGS)

    assert found.heartbeat == "paused"
    assert {path: path.read_bytes() for path in home.glob("jobs/*/*")} == before


def test_finished_jobs_are_counted_and_not_read_so_a_hundred_thousand_take_no_second(home: Path) -> None:
    for thousand in range(100):
        first = home / "jobs/completed" / f"j{thousand}-0.json"
        first.write_text("not even a job")
        for number in range(1, 1000):
            os.link(first, home / "jobs/completed" / f"j{thousand}-{number}.json")  # quicker than writing each

    started = time.process_time()
    found = status(home, NOW, SETTINGS)

    assert time.process_time() - started < 1
    assert found.counts["completed"] == 100_000
    assert found.jobs == []


# --- money -----------------------------------------------------------------------------------------------------------


def test_a_house_that_never_spent_anything_says_so_and_stays_as_it_is(home: Path) -> None:
    found = status(home, NOW, SETTINGS).money

    assert (found.today_micros, found.month_micros) == (0, 0)
    assert (found.cap_per_day_micros, found.cap_per_month_micros) == (20_000_000, 300_000_000)
    assert not (home / "logs/ledger").exists()


def test_what_is_spent_and_reserved_today_and_this_month_stands_beside_the_caps(home: Path) -> None:
    caps = Caps(per_call_micros=10**9, per_day_micros=10**9, per_month_micros=10**9)
    for days, micros in ((0, 190_000), (0, 40_000), (1, 500_000), (10, 9_000_000)):
        ledger = Ledger(home, caps=caps, timezone="UTC", clock=lambda days=days: NOW - timedelta(days=days))
        ledger.reserve("order", f"clips/{micros}", "i", 1, "minimax", micros)

    found = status(home, NOW, SETTINGS).money

    assert (found.today_micros, found.month_micros) == (230_000, 730_000)


def test_a_ledger_somebody_changed_is_named(home: Path) -> None:
    (home / "logs/ledger").mkdir()
    (home / "logs/ledger/2026-01.jsonl").write_text("{}\n")

    with pytest.raises(Misconfigured, match=r"logs/ledger/2026-01\.jsonl"):
        status(home, NOW, SETTINGS)


def test_a_service_on_hold_is_told_of_until_it_is_called_again(home: Path) -> None:
    def refuse() -> None:
        raise OnHold("out of credit", fingerprint="minimax.credit", wait_seconds=3600)

    for service in ("gemini", "minimax"):
        gate = SharedGate(home, service, creates_per_minute=9, at_once=1, wait=time.sleep)
        if service == "gemini":
            gate.run(lambda: None)
        else:
            with pytest.raises(OnHold):
                gate.run(refuse)

    found = status(home, NOW, SETTINGS).on_hold

    assert list(found) == ["minimax"]
    left = datetime.fromisoformat(found["minimax"]) - datetime.now(UTC)
    assert timedelta(minutes=55) < left <= timedelta(minutes=60)


@pytest.fixture
def told(home: Path) -> Callable[[str], str]:
    """The life of an order, as one text."""
    return lambda stream_id: "\n".join(life(home, stream_id))


def test_the_life_of_an_order_tells_what_happened_when_and_by_whom(home: Path, told: Callable[[str], str]) -> None:
    put(home, "pending", "test", paid_amount=49, paid_at=NOW)
    queue = Queue(home)
    claim = queue.claim_next(live=True, now=NOW)
    assert claim is not None
    claim.advance(claim.job, State.REVIEW, at=NOW + timedelta(hours=1), who="process")
    claim = queue.claim("test", State.REVIEW)
    job = claim.job.noting(What.APPROVED, at=NOW + timedelta(hours=2), who="operator", reason="fine")
    claim.save(job)
    public = home / "streams/test/public"
    public.mkdir()
    (public / "index.html").write_text("")

    text = told("test")

    assert text.splitlines() == [
        "test  review  (jobs/review/test.json)",
        "  paid      49.00 EUR on 2026-01-06 12:00 UTC",
        "  made      nothing yet",
        f"  page      {public / 'index.html'}",
        "  2026-01-06 12:00:00  arrived",
        "  2026-01-06 13:00:00  processing → review  by process",
        "  2026-01-06 14:00:00  approved  by operator  fine",
    ]


def test_the_life_of_a_failed_order_tells_why_and_when_it_is_tried_again(
    home: Path, told: Callable[[str], str]
) -> None:
    failure = Failure(kind="refused", reason="the filter said no", at=NOW)
    put(home, "failed", "bad", failure=failure, not_before=NOW, tries=2)

    assert "  failed    refused: the filter said no" in told("bad")
    assert "  next try  2026-01-06 12:00:00 UTC (tried 2 times)" in told("bad")


@pytest.mark.parametrize(
    ("content", "trouble"), [(None, NoSuchJob), ("[]", Unreadable), ('{"stream_id"', StillWritten)]
)
def test_what_has_no_life_says_so(
    home: Path, told: Callable[[str], str], content: str | None, trouble: type[Exception]
) -> None:
    if content is not None:
        (home / "jobs/pending/test.json").write_text(content)

    with pytest.raises(trouble):
        told("test")


def test_an_order_that_moves_on_while_it_is_looked_for_is_found(home: Path, told: Callable[[str], str]) -> None:
    put(home, "pending", "test")
    child = os.fork()
    if child == 0:
        places = [home / "jobs" / state / "test.json" for state in ("pending", "processing", "review")]
        end = time.monotonic() + 1
        while time.monotonic() < end:
            for source, target in pairwise([*places, places[0]]):
                source.rename(target)
        os._exit(0)

    looks = 0
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        try:
            assert told("test").split()[1] in {"pending", "processing", "review"}
        except NoSuchJob:  # it went back to the left just then
            continue
        looks += 1

    assert looks > 20


def costly(home: Path) -> Receipts:
    """Receipts with every way a call can have cost something, and two that cost nothing."""
    receipts = Receipts(home / "streams/test/receipts.jsonl")

    def begun(call: str, provider: str, reserved: int) -> Any:
        return receipts.intend(call, "i", provider, reserved_micros=reserved)

    receipts.settle(begun("plan", "gemini", 94_000), cost_micros=3_713)
    receipts.settle(begun("clips/01", "minimax", 190_000), cost_micros=190_000, exact=False)
    receipts.settle(begun("publish", "vercel", 0))
    receipts.end(begun("keyframes/01", "gemini", 70_000), Phase.UNKNOWN, "lost", cost_micros=70_000, exact=False)
    receipts.end(begun("keyframes/01", "gemini", 70_000), Phase.REFUSED, "IMAGE_SAFETY", cost_micros=1_200)
    receipts.end(begun("keyframes/02", "gemini", 70_000), Phase.FAILED, "cannot be reached", cost_micros=0)
    begun("clips/02", "minimax", 190_000)
    return receipts


def test_every_call_that_cost_or_may_have_cost_something_is_told_with_how_sure_that_is(
    home: Path, told: Callable[[str], str]
) -> None:
    put(home, "processing", "test", paid_amount=49)
    costly(home)

    text = told("test")

    unknown = "nobody can tell whether it was made, so it counts as spent"
    still_open = "being made, or cut off; counts as spent until its end is known"
    assert text.partition("  spent ")[2].splitlines() == [
        "    $0.454913, of it $0.19 assumed, $0.07 unknown, $0.19 open",
        "    plan          attempt 1  gemini    outcome   $0.003713 exact",
        "    clips/01      attempt 1  minimax   outcome       $0.19 assumed",
        f"    keyframes/01  attempt 1  gemini    unknown       $0.07 unknown: {unknown}",
        "    keyframes/01  attempt 2  gemini    refused     $0.0012 exact",
        f"    clips/02      attempt 1  minimax   intent        $0.19 open: {still_open}",
    ]


def test_looking_at_an_order_that_is_being_made_leaves_its_receipts_alone(
    home: Path, told: Callable[[str], str]
) -> None:
    put(home, "processing", "test")
    costly(home)
    path = home / "streams/test/receipts.jsonl"
    with path.open("ab") as file:
        file.write(b'{"phase": "outcome", "ca')  # its writer is in the middle of a line
    before = path.read_bytes()

    with Lock.wait(home / "streams/test/lock"):
        assert "$0.454913" in told("test")

    assert path.read_bytes() == before


def test_receipts_somebody_changed_make_the_costs_unknown_and_hide_nothing_else(
    home: Path, told: Callable[[str], str]
) -> None:
    put(home, "failed", "test")
    (home / "streams/test").mkdir()
    (home / "streams/test/receipts.jsonl").write_text("[]\n")

    lines = told("test").splitlines()

    assert lines[0].startswith("test  failed")
    assert lines[-1] == (
        "  spent     unknown: streams/test/receipts.jsonl: line 1 is not a receipt; mend it, then retry"
    )


# --- the shop --------------------------------------------------------------------------------------------------------


def held(home: Path, stream_id: str, reason: str, kind: str = "operator") -> None:
    """Somebody keeps that order from going on."""
    hold(home, Hold(stream_id, kind, reason, NOW.isoformat()))


def test_a_held_order_says_why_wherever_it_is(home: Path) -> None:
    for state in ("pending", "review", "processing", "failed", "completed"):
        put(home, state, state, **({"paid_amount": 49} if state == "pending" else {}))
        held(home, state, "the customer called")
    put(home, "failed", "over", failure=Failure(kind="refunded", reason="its payment was refunded", at=NOW))
    held(home, "over", "its payment is refunded", REFUNDED)

    found = status(home, NOW, SETTINGS)

    assert {row.stream_id: row.note for row in found.jobs} == {
        "pending": "held: the customer called",
        "review": "held: the customer called",
        "processing": "held: the customer called; left by a crash, resumed at the next tick: nothing yet",
        "failed": "held: the customer called; no reason is noted",
        "over": "its payment was refunded",
    }
    assert found.as_json()["held"] == dict.fromkeys(
        ("completed", "failed", "pending", "processing", "review"), "the customer called"
    )


def test_the_shop_door_is_told_with_its_drafts_and_errands_and_without_a_customer(home: Path) -> None:
    write_heartbeat(home, status="ACTIVE", renewed=NOW.date(), renew_days=30)
    orders = Orders(home)
    order = orders.begin(Typed(title="A planted title", email="planted@example.com"), NOW)
    orders.begin(Typed(), NOW)
    errands.put(home, "a", "confirm", NOW)
    errands.put(home, "b", "refund", NOW)
    errands.give_up(home, Errand("b", "refund"))

    found = status(home, NOW, SETTINGS)

    assert found.shop == Door("demo", 2, ["a confirm"], ["b refund"])
    for secret in (order.secret, order.stream_id, "planted"):
        assert secret not in json.dumps(found.as_json())


@pytest.mark.parametrize(
    ("pulse", "key", "expected"),
    [
        ("ACTIVE", "", "demo"),
        ("ACTIVE", "sk_test_x", "open"),
        ("PAUSED", "sk_test_x", "closed"),
        ("PAUSED", "", "closed"),
    ],
)
def test_whether_the_shop_is_open_is_the_heartbeats_word(home: Path, pulse: str, key: str, expected: str) -> None:
    write_heartbeat(home, status=pulse, renewed=NOW.date(), renew_days=30)

    assert status(home, NOW, replace(SETTINGS, stripe_api_key=Secret(key))).shop.state == expected


def test_the_command_names_what_waits_and_what_is_held_elsewhere(home: Path, run: Callable[..., Any]) -> None:
    put(home, "pending", "order")
    put(home, "completed", "done")
    held(home, "order", "the customer called")
    held(home, "done", "the bank disputes it")
    for number in range(12):
        errands.put(home, f"order-{number:02d}", "confirm", NOW)
    errands.put(home, "order", "refund", NOW)
    errands.give_up(home, Errand("order", "refund"))

    lines = run("status").stdout.splitlines()

    assert "shop       demo, 0 draft(s), 12 errand(s) waiting" in lines
    assert "waiting    order-09 confirm" in lines
    assert "waiting    ... and 2 more" in lines
    assert "given up   order refund: see logs/shop.log" in lines
    assert "held       done: the bank disputes it" in lines
    assert lines[-1].endswith("held: the customer called")


def test_the_life_of_a_shop_order_tells_how_it_was_paid_promised_and_agreed(
    home: Path, told: Callable[[str], str]
) -> None:
    secret = "planted_secret_of_the_link"  # noqa: S105 - obviously none
    paid = Paid(session_id="cs_1", payment_intent="pi_1", amount_minor=4900, at=NOW, found_by="reconcile")
    order = Order(
        stream_id="test",
        secret=secret,
        created_at=NOW,
        changed_at=NOW,
        offered=Typed(email="planted@example.com"),
        consents=consents(NOW),
        paid=paid,
        ordered_at=NOW,
        promised_by=NOW + timedelta(hours=3),
    )
    Orders(home).save(order)
    put(home, "failed", "test", paid_amount=49)
    refunded = (
        Queue(home)
        .read("failed", "test.json")
        .noting(What.REFUNDED, at=NOW, who="shop", evidence={"amount_minor": 1900, "currency": "eur"})
    )
    (home / "jobs/failed/test.json").write_bytes(refunded.to_json())
    held(home, "test", "the bank disputes it", "disputed")
    receipts = Receipts(home / "streams/test/shop.jsonl")
    receipts.settle(receipts.intend("letter.confirm", "i", "smtp"))
    receipts.end(receipts.intend("refund", "i", "stripe"), Phase.FAILED, "not now", cost_micros=0)

    text = told("test")

    for line in (
        "  payment   49.00 EUR, cs_1, pi_1, found by reconcile on 2026-01-06 12:00 UTC",
        "  promised  by 2026-01-06 15:00 UTC",
        "  agreed    start_now, ai_images, rights on 2026-01-06 12:00 UTC",
        "  held      disputed, since 2026-01-06T12:00:00+00:00: the bank disputes it",
        "  refunded  19.00 EUR",
    ):
        assert line in text.splitlines()
    assert "letter.confirm  through smtp: outcome" in text
    assert text.splitlines()[-1].endswith("refund  through stripe: failed  not now")
    assert "planted" not in text


def test_shop_files_that_somebody_changed_hide_nothing_else(home: Path, told: Callable[[str], str]) -> None:
    put(home, "failed", "test")
    (home / "streams/test").mkdir()
    (home / "streams/test/order.json").write_text("{}")
    (home / "streams/test/shop.jsonl").write_text("[]\n")

    lines = told("test").splitlines()

    assert any(line.startswith("  order     streams/test/order.json is none: ") for line in lines)
    assert any(line.startswith("  letters   unknown: streams/test/shop.jsonl: line 1") for line in lines)
    assert lines[0].startswith("test  failed")
