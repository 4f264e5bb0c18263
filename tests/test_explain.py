"""``downstream explain``: why an order is where it is, for every place it can be in, and on which evidence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from downstream.domain.job import Entry, Failure, Job, What
from downstream.domain.order import Agreement, Checkout, Order, Paid, Typed
from downstream.domain.state import State
from downstream.evidence import UnknownOrder
from downstream.explain import Explanation, explain
from downstream.heartbeat import write_heartbeat
from downstream.holds import OPERATOR, Hold, hold
from downstream.limits import SharedGate
from downstream.locks import Lock, holder
from downstream.log import open_log
from downstream.receipts import Phase, Receipts
from downstream.settings import KEYS
from downstream.shop import errands

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

NOW = datetime.now(UTC).replace(microsecond=0)
SECRET = "planted-secret-of-a-link-0123456789"  # noqa: S105
WORDS = "The heron came down to the harbour"
CUSTOMER = "reader.of.tales@customer.example"
READY = dict.fromkeys(KEYS, "planted") | {"SMTP_URL": "smtps://u:p@mail.example.com", "TIMEZONE": "UTC"}
ROOMY = {"DISK_RESERVE_MB": "0", "MEMORY_RESERVE_MB": "0"}


def ago(**span: float) -> datetime:
    """That long before now."""
    return NOW - timedelta(**span)


def put(home: Path, state: str, stream_id: str = "test", *history: Entry, **fields: Any) -> Job:
    """A paid job in that folder."""
    given = {"paid_amount": 49, "paid_at": ago(minutes=20), "arrived_at": ago(minutes=20)} | fields
    job = Job(stream_id=stream_id, customer_email=CUSTOMER, history=history, **given)
    (home / "jobs" / state / f"{stream_id}.json").write_bytes(job.to_json())
    return job


def ordered(home: Path, stream_id: str = "test", **changes: Any) -> None:
    """What the shop keeps of a paid order."""
    paid = Paid(session_id="cs_test_1", payment_intent="pi_1", amount_minor=4900, at=ago(minutes=20))
    given = {
        "offered": Typed(title=WORDS, email=CUSTOMER),
        "paid": paid,
        "ordered_at": ago(minutes=20),
        "promised_by": NOW + timedelta(hours=3),
    } | changes
    order = Order(stream_id=stream_id, secret=SECRET, created_at=ago(minutes=30), changed_at=ago(minutes=25), **given)
    is_draft = order.ordered_at is None
    path = home / "streams" / (f".drafts/{stream_id}.json" if is_draft else f"{stream_id}/order.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(order.to_json())


def moved(source: State, target: State, who: str, reason: str = "", **span: float) -> Entry:
    """A move in a job's history."""
    return Entry(at=ago(**span), who=who, what=What.MOVED, source=source, target=target, reason=reason)


def explained(home: Path, name: str = "test", **settings: str) -> Explanation:
    """What is said of it, by the settings of a shop that has its keys; every sentence's evidence is there."""
    found = explain(home, name, NOW, READY | ROOMY | settings)
    for sentence in found.sentences:
        path = home / sentence.evidence
        assert path.exists() or sentence.evidence == ".env", sentence
    return found


def said(found: Explanation, about: str) -> str:
    """Everything about one thing."""
    return "\n".join(str(sentence) for sentence in found.sentences if sentence.about == about)


def commands(found: Explanation) -> list[str]:
    """The commands that are offered."""
    return [one.says.partition(" - ")[0] for one in found.sentences if one.about == "you"]


# --- where it is -----------------------------------------------------------------------------------------------------


def test_an_order_that_waits_says_who_brought_it_and_whose_turn_comes_first(home: Path) -> None:
    put(home, "pending", "earlier", paid_at=ago(minutes=30))
    put(home, "pending")
    ordered(home)

    found = explained(home)

    assert found.state == "pending"
    assert "It lies in jobs/pending, where the shop put it" in said(found, "where")
    assert "(20 min ago), told by the webhook. [jobs/pending/test.json]" in said(found, "where")
    assert "1 order(s) come before it. [jobs/pending]" in said(found, "next")
    assert said(found, "held up") == ""
    assert "It was paid: 49.00 EUR on" in said(found, "money")
    assert "It has cost $0.00 so far; it may cost $20." in said(found, "money")
    assert "test is promised by" in said(found, "promise")
    assert "[streams/test/order.json]" in said(found, "promise")
    assert "The status page says: Your order is in, promised" in said(found, "customer")
    assert {"downstream hold test", "downstream cancel test", "downstream refund test"} <= set(commands(found))


def test_an_order_that_was_dropped_by_hand_has_no_status_page(home: Path) -> None:
    put(home, "pending", paid_at=None, paid_amount=None)

    found = explained(home)

    assert "where somebody put it" in said(found, "where")
    assert "Nobody paid for it" in said(found, "money")
    assert "There is no status page" in said(found, "customer")
    assert said(found, "promise") == ""


def test_an_order_in_work_names_the_process_and_the_call_it_is_at(home: Path) -> None:
    put(home, "processing")
    receipts = Receipts(home / "streams/test/receipts.jsonl")
    receipts.settle(receipts.intend("plan", "a", "gemini", reserved_micros=20_000), cost_micros=15_000)
    receipts.intend("clips/03", "b", "minimax", reserved_micros=190_000)
    open_log(home, "processor").info("job.claimed", stream="test")

    with Lock.wait(home / "streams/test/lock"):
        found = explained(home)

    assert f"It lies in jobs/processing: process {os.getpid()} took it up" in said(found, "where")
    assert "[logs/processor.log]" in said(found, "where")
    assert f"It is in the hands of process {os.getpid()} right now, at clips/03 since" in said(found, "held up")
    assert "The last call was clips/03, through minimax" in said(found, "made")
    assert "It has cost $0.205 so far" in said(found, "money")
    assert said(found, "next").startswith("It goes on;")


def test_an_order_left_by_a_crash_waits_for_the_next_tick(home: Path) -> None:
    put(home, "processing", recoveries=1)

    found = explained(home)

    assert "the run that did ended without a word" in said(found, "held up")
    assert "(1 of 3 such recoveries are used)" in said(found, "held up")
    assert "The next downstream process goes on with it" in said(found, "next")


def test_a_page_in_review_says_who_decides(home: Path) -> None:
    put(home, "review", "test", moved(State.PROCESSING, State.REVIEW, "process", minutes=5))

    auto, by_hand = explained(home), explained(home, REVIEW_POLICY="operator")

    assert "where process put it" in said(auto, "where")
    assert "(5 min ago), from processing" in said(auto, "where")
    assert "measures and judges it, and decides" in said(auto, "next")
    assert said(auto, "held up") == ""
    assert "It waits for your decision: REVIEW_POLICY is operator. [.env]" in said(by_hand, "held up")
    assert "downstream review --approve test" in commands(by_hand)


def test_an_approved_page_is_being_delivered(home: Path) -> None:
    move = moved(State.PROCESSING, State.REVIEW, "process", minutes=5)
    put(home, "review", "test", move, Entry(at=ago(minutes=1), who="operator", what=What.APPROVED, reason="fine"))

    found = explained(home, REVIEW_POLICY="operator")

    assert "It was approved on" in said(found, "made")
    assert "publishes it, looks at it live" in said(found, "next")
    assert "downstream review --approve test" not in commands(found)


def test_a_failed_order_says_why_and_what_you_can_do(home: Path) -> None:
    failure = Failure(kind="refused", reason="the filter said no to segment 03", step="process", at=ago(minutes=3))
    move = moved(State.PROCESSING, State.FAILED, "process", "the filter said no to segment 03", minutes=3)
    put(home, "failed", "test", move, failure=failure)
    ordered(home)

    found = explained(home)

    assert "It was given up in process on" in said(found, "held up")
    assert "(a content filter said no): the filter said no to segment 03" in said(found, "held up")
    assert said(found, "next") == "Nothing, until you decide. [jobs/failed/test.json]"
    assert commands(found)[:3] == [
        "downstream retry test",
        "downstream retry test --cleared",
        "downstream refund test",
    ]
    assert "The status page says: It takes longer than we said" in said(found, "customer")


def test_a_delivered_order_says_what_was_sent_and_whether_it_was_in_time(home: Path) -> None:
    history = (
        moved(State.REVIEW, State.COMPLETED, "review", minutes=5),
        Entry(at=ago(minutes=5), who="review", what=What.PUBLISHED, evidence={"address": "https://page.example"}),
        Entry(at=ago(minutes=5), who="review", what=What.MAILED),
    )
    put(home, "completed", "test", *reversed(history))
    ordered(home)
    shop = Receipts(home / "streams/test/shop.jsonl")
    shop.settle(shop.intend("letter.confirm", "a", "smtp"))

    found = explained(home)

    assert said(found, "next").startswith("Nothing is left to do")
    assert "It was delivered 3.1 hours before the promised time" in said(found, "promise")
    assert "The letter with the page was sent" in said(found, "customer")
    assert "letter.confirm through smtp" in said(found, "customer")
    assert "The status page says: Your page is ready" in said(found, "customer")
    assert {"downstream undo test", "downstream forget test"} <= set(commands(found))


def test_a_file_that_is_no_job_says_why(home: Path) -> None:
    (home / "jobs/failed/test.json").write_text('{"stream_id": "test"}')

    found = explained(home)

    assert "Its file is not a job: " in said(found, "held up")
    assert "customer_email" in said(found, "held up")
    assert commands(found) == ["downstream doctor --offline"]


# --- what is no job --------------------------------------------------------------------------------------------------


def test_a_draft_tells_of_its_payment_pages(home: Path) -> None:
    page = {"session_id": "cs_test_9", "address": "https://pay.example", "amount_minor": 4900, "currency": "eur"}
    opened = Checkout(**page, opened_at=ago(hours=30), expires_at=ago(hours=7), ended="expired")
    waiting = Checkout(**page | {"session_id": "cs_test_10"}, opened_at=ago(hours=1), expires_at=NOW + timedelta(1))
    typed = Typed(title=WORDS, text=WORDS, email=CUSTOMER, agreed=tuple(Agreement))
    ordered(home, ordered_at=None, paid=None, promised_by=None, typed=typed, checkouts=(opened, waiting))

    found = explained(home, "cs_test_10")

    assert (found.stream_id, found.state) == ("test", "draft")
    assert "a draft that nobody has paid for" in said(found, "where")
    assert "(cs_test_9): it expired without a payment. [streams/.drafts/test.json]" in said(found, "money")
    assert "(cs_test_10): it can be paid at until" in said(found, "money")
    assert commands(found) == ["downstream reconcile"]


def test_a_story_nobody_ordered_and_an_order_that_was_forgotten(home: Path) -> None:
    (home / "streams/story").mkdir()
    (home / "streams/story/input.json").write_text("{}")
    (home / "logs/forgotten").mkdir()
    (home / "logs/forgotten/gone.json").write_text("{}")

    assert "A story lies there that nobody has ordered" in said(explained(home, "story"), "where")
    assert explained(home, "gone").state == "forgotten"


def test_a_payment_leads_to_its_order(home: Path) -> None:
    put(home, "pending")
    ordered(home)
    (home / "streams/.payments").mkdir()
    (home / "streams/.payments/pi_known").write_text("test")

    assert [explained(home, name).stream_id for name in ("pi_known", "pi_1", "cs_test_1")] == ["test"] * 3


@pytest.mark.parametrize("name", ["stranger", "pi_stranger", "../../etc/passwd", "", "x\0y", "a" * 5000])
def test_a_strange_name_is_no_order(home: Path, name: str) -> None:
    put(home, "pending", "strangler-fig")

    with pytest.raises(UnknownOrder, match="there is no such order") as found:
        explain(home, name, NOW, READY)

    assert len(str(found.value)) < 300
    if name == "stranger":
        assert "similar: strangler-fig" in str(found.value)


# --- what holds it up ------------------------------------------------------------------------------------------------


def _pause(home: Path) -> None:
    write_heartbeat(home, status="PAUSED", renewed=date(2026, 1, 1), renew_days=30, reason="holidays")


def _hold(home: Path) -> None:
    hold(home, Hold("test", OPERATOR, "the customer called", NOW.isoformat()))


def _put_off(home: Path) -> None:
    put(home, "pending", tries=3, not_before=NOW + timedelta(minutes=40))
    open_log(home, "processor").warning("job.put_off", stream="test", reason="gemini answered 503")


def _limit(home: Path) -> None:
    put(home, "pending", held_by="cap.day", not_before=NOW + timedelta(minutes=40))


def _service(home: Path) -> None:
    gate = SharedGate(home, "minimax", creates_per_minute=1, at_once=1, wait=lambda _: None)
    with gate._changing() as state:
        state.held_until, state.why = (NOW + timedelta(hours=1)).timestamp(), "the account is empty"


def _silence(home: Path) -> None:
    stamp = home / "logs/.healthcheck"
    stamp.touch()
    os.utime(stamp, (ago(hours=5).timestamp(),) * 2)


def _stopped(home: Path) -> None:
    (home / "logs/alerts.json").write_text(json.dumps({"stopped.process.the disk is full": NOW.isoformat()}))


@pytest.mark.parametrize(
    ("happen", "settings", "expected", "command"),
    [
        (_pause, {}, "Everything stands still: HEARTBEAT.md says PAUSED: holidays. [HEARTBEAT.md]", "heartbeat resume"),
        (_hold, {}, "(operator): the customer called. [jobs/.holds/test.json]", "release test"),
        (
            _put_off,
            {},
            "3 tries in a row that did not work: gemini answered 503. [logs/processor.log]",
            "process",
        ),
        (_limit, {}, "(in 40 min) for cap.day, which is a limit and no fault of its own", "process"),
        (_service, {}, "Nobody asks minimax for anything new until", "process"),
        (_service, {}, "the account is empty. [jobs/.limits/minimax.json]", "process"),
        (_silence, {}, "No run of process has ended well since", "process"),
        (_stopped, {}, "Runs of process end early: the disk is full", "process"),
        (None, {"VERCEL_TOKEN": ""}, "these keys are not set: VERCEL_TOKEN. [.env]", "doctor"),
        (None, {"JOBS_AT_ONCE": "many"}, "No run gets beyond the settings: JOBS_AT_ONCE is 'many'", "process"),
        (None, {"DISK_RESERVE_MB": "1000000"}, "Nothing is begun: too little room", "process"),
        (None, {"MEMORY_RESERVE_MB": "1000000"}, "Nothing is begun: too little memory", "process"),
    ],
)
def test_what_holds_an_order_up_is_named(
    home: Path, happen: Callable[[Path], None] | None, settings: dict[str, str], expected: str, command: str
) -> None:
    put(home, "pending")
    if happen is not None:
        happen(home)

    found = explained(home, **settings)

    assert expected in said(found, "held up")
    assert f"downstream {command}" in commands(found)


def test_taken_places_are_named(home: Path) -> None:
    put(home, "pending")
    with Lock.wait(home / "jobs/.places/0.lock"):
        assert "All 1 places for orders in work are taken" in said(explained(home, JOBS_AT_ONCE="1"), "held up")
        assert said(explained(home, JOBS_AT_ONCE="2"), "held up") == ""


def test_letters_that_wait_and_those_that_were_given_up_are_named(home: Path) -> None:
    put(home, "pending")
    errands.put(home, "test", errands.CONFIRM, NOW)
    (home / "jobs/.errands/test.refunded.refused").write_text("{}")

    text = said(explained(home), "customer")

    assert "confirm still waits to be done. [jobs/.errands/test.confirm.json]" in text
    assert "refunded was given up. [jobs/.errands/test.refunded.refused]" in text


def test_the_holder_of_a_lock_is_found_by_its_process(home: Path) -> None:
    path = home / "streams/test/lock"
    program = (
        "import sys; from pathlib import Path; from downstream.locks import Lock; lock = Lock.wait(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", f"{program}; print('held', flush=True); input()", str(path)]
    assert holder(path) is None
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert holder(path) == child.pid
        child.communicate("\n")
    assert holder(path) is None


# --- the command -----------------------------------------------------------------------------------------------------


def everything(home: Path) -> dict[Path, tuple[bytes, int]]:
    """Every file of the installation, to see whether one was changed."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in home.rglob("*") if path.is_file()}


def test_explaining_changes_nothing_and_tells_nothing_personal(home: Path, run: Run) -> None:
    put(home, "processing")
    ordered(home)
    (home / "streams/test/input.json").write_text(json.dumps({"title": WORDS, "text": WORDS}))
    receipts = Receipts(home / "streams/test/receipts.jsonl")
    receipts.end(receipts.intend("plan", "a", "gemini"), Phase.FAILED, "gemini answered 503", cost_micros=0)
    Lock.wait(home / "streams/test/lock").release()
    _pause(home)
    before = everything(home)

    told = [run("explain", "test").stdout, run("explain", "test", "--json").stdout]

    assert everything(home) == before
    assert not [text for text in told for word in (CUSTOMER, WORDS, SECRET, "planted") if word in text]
    assert "it failed: gemini answered 503" in told[0]


def test_the_command_ends_every_sentence_with_its_evidence(home: Path, run: Run) -> None:
    put(home, "failed", failure=Failure(kind="payment", reason="another amount", at=NOW))

    ended = run("explain", "test")
    as_json = json.loads(run("explain", "test", "--json").stdout)

    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert lines[0] == "test: failed"
    sentences = [line for line in lines if line.startswith("  ")]
    assert [line for line in sentences if not re.search(r"\. \[[^\]]+\]\Z", line)] == []
    assert len(sentences) == len(as_json["sentences"]) > 6
    assert (as_json["stream_id"], as_json["state"]) == ("test", "failed")
    assert set(as_json["sentences"][0]) == {"about", "says", "evidence"}


def test_the_command_says_what_is_like_a_strange_name(home: Path, run: Run) -> None:
    put(home, "pending", "harbour-tale")

    ended = run("explain", "harbor-tale")

    assert ended.returncode == 3
    assert ended.stdout == ""
    assert ended.stderr == "there is no such order: 'harbor-tale'; similar: harbour-tale\n"


def test_every_command_that_is_offered_is_one(home: Path) -> None:
    from click import Context

    from downstream.cli import cli

    known = set(cli.list_commands(Context(cli)))
    for state in State:
        put(home, state.value, f"in-{state.value}")
        offered = {command.split()[1] for command in commands(explained(home, f"in-{state.value}", VERCEL_TOKEN=""))}
        assert offered <= known
