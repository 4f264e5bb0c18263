"""``downstream tidy``: what nobody needs any more goes; a paid order that is not settled never does."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from downstream.domain.job import Entry, Job, What
from downstream.domain.state import State
from downstream.files import private_folder
from downstream.holds import Hold, hold
from downstream.log import open_log
from downstream.queue import Queue
from downstream.settings import Settings
from downstream.shop import forget, tidy
from downstream.shop.places import LOCKS
from downstream.shop.proofs import is_forgotten, unfinished
from downstream.shop.shop import Shop

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    Run = Callable[..., subprocess.CompletedProcess[str]]

NOW = datetime.now(UTC)


@pytest.fixture
def shop(home: Path) -> Shop:
    """The shop door of an installation without keys."""
    log = open_log(home, "shop")
    return Shop(home, Settings(), Queue(home), None, lambda _: None, log, lambda *_: None, clock=lambda: NOW)


def put(home: Path, stream_id: str, state: State, days: int, *, paid: int = 0, refunded: int = 0) -> Path:
    """An order whose last line of history is so old, with a stream; returns the stream's folder."""
    at = NOW - timedelta(days=days)
    history = [Entry(at=at, who="test", what=What.MOVED, target=state, reason="")]
    if refunded:
        history.append(Entry(at=at, who="test", what=What.REFUNDED, evidence={"amount_minor": refunded * 100}))
    job = Job(
        stream_id=stream_id,
        customer_email="reader@customer.example",
        paid_amount=paid,
        paid_at=at if paid else None,
        history=tuple(history),
    )
    Queue(home).enqueue(job)
    Queue(home).path(State.PENDING, stream_id).rename(Queue(home).path(state, stream_id))
    root = private_folder(home / "streams" / stream_id)
    for name in (
        "clips/01.mp4",
        "frames/01/0001.jpg",
        "page/index.html",
        "keyframes/01.png",
        "published/v1/index.html",
    ):
        private_folder((root / name).parent)
        (root / name).write_text(f"{name} of {stream_id}")
    (root / "input.json").write_text('{"title": "The harbour"}')
    return root


def voucher(home: Path, stream_id: str, days: int, kind: str) -> None:
    """A failed order for which nothing had to be paid."""
    path = Queue(home).path(State.FAILED, stream_id)
    put(home, stream_id, State.FAILED, days)
    at = (NOW - timedelta(days=days)).isoformat()
    failure = {"kind": kind, "reason": "", "at": at}
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "paid_amount": 0, "paid_at": at, "failure": failure}))


def age(path: Path, days: float) -> Path:
    """The file was last written so long ago."""
    at = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (at, at))
    return path


def everything(home: Path) -> set[str]:
    """All files of orders, but locks and the index of what waits."""
    roots = [home / "jobs", home / "streams"]
    found = (path for root in roots for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(home)) for path in found if path.name not in LOCKS and not path.name.startswith(".order.")
    }


def tidied(shop: Shop, thin_days: int | None = None) -> dict[str, str]:
    """What was planned is gone; returns what was not done."""
    return tidy.carry_out(shop, tidy.look(shop, thin_days), thin_days, lambda: None)


KEPT: dict[str, dict[str, Any]] = {
    "waits": {"state": State.PENDING},
    "is-made": {"state": State.PROCESSING},
    "is-reviewed": {"state": State.REVIEW},
    "failed-and-owed": {"state": State.FAILED, "paid": 49},
    "failed-and-half-refunded": {"state": State.FAILED, "paid": 49, "refunded": 20},
    "delivered": {"state": State.COMPLETED, "paid": 49},
    "delivered-and-refunded": {"state": State.COMPLETED, "paid": 49, "refunded": 49},
    "failed-of-late": {"state": State.FAILED, "days": 89},
    "completed-of-late": {"state": State.COMPLETED, "days": 89},
}
GONE: dict[str, dict[str, Any]] = {
    "failed-unpaid": {"state": State.FAILED},
    "failed-and-refunded": {"state": State.FAILED, "paid": 49, "refunded": 49},
    "completed-unpaid": {"state": State.COMPLETED},
}


def test_only_what_is_old_and_owed_nothing_goes_and_its_proof_stays(home: Path, shop: Shop) -> None:
    for stream_id, fields in (KEPT | GONE).items():
        put(home, stream_id, **{"days": 1000, **fields})
    before = everything(home)
    plan = tidy.look(shop, None)

    assert tidied(shop) == {}

    assert {old.name for old in plan.orders} == GONE.keys()
    assert all(is_forgotten(home, stream_id) for stream_id in GONE)
    assert everything(home) == {name for name in before if not any(f"/{one}" in name for one in GONE)}
    assert tidy.look(shop, None).is_empty


def test_a_voucher_whose_page_failed_is_owed_one(home: Path, shop: Shop) -> None:
    voucher(home, "owed-a-page", 1000, "rejected")
    voucher(home, "withdrawn", 1000, "withdrawn")

    assert [old.name for old in tidy.look(shop, None).orders] == ["withdrawn"]


def test_what_is_held_or_was_spoilt_stays_and_nothing_goes_where_it_is_kept_for_ever(home: Path, shop: Shop) -> None:
    put(home, "held", State.FAILED, 1000)
    hold(home, Hold("held", "operator", "a question", ""))
    put(home, "spoilt", State.FAILED, 1000)
    Queue(home).path(State.FAILED, "spoilt").write_text("{}")
    put(home, "old", State.FAILED, 1000)
    plan = tidy.look(shop, 30)

    assert [old.name for old in plan.orders] == ["old"]
    assert "spoilt" in plan.kept
    assert tidy.look(replace(shop, settings=Settings(keep_failed_days=0)), 30).orders == []


def test_an_order_that_changed_after_the_question_stays(home: Path, shop: Shop) -> None:
    for stream_id in ("retried", "held", "paid"):
        put(home, stream_id, State.FAILED, 1000)
    put(home, "made-anew", State.COMPLETED, 1000, paid=49)
    plan = tidy.look(shop, 30)
    before = everything(home)

    Queue(home).path(State.FAILED, "retried").rename(Queue(home).path(State.PENDING, "retried"))
    hold(home, Hold("held", "operator", "a question", ""))
    change(home, State.FAILED, "paid", paid_amount=49, paid_at=NOW.isoformat())
    recent = Entry(at=NOW, who="test", what=What.MOVED, target=State.COMPLETED, reason="")
    change(home, State.COMPLETED, "made-anew", history=[json.loads(recent.to_json())])
    not_done = tidy.carry_out(shop, plan, 30, lambda: None)

    assert not_done.keys() == {"retried", "held", "paid", "made-anew"}
    assert {name.rpartition("/")[2] for name in before - everything(home)} == {"retried.json"}


def change(home: Path, state: State, stream_id: str, **fields: Any) -> None:
    """Those fields of a job file have other values."""
    path = Queue(home).path(state, stream_id)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}))


def test_one_that_cannot_go_keeps_no_other(home: Path, shop: Shop) -> None:
    for stream_id in ("a-first", "b-hosted", "c-last"):
        put(home, stream_id, State.FAILED, 1000)
    receipt = {"provider": "vercel"}
    (home / "streams/b-hosted/receipts.jsonl").write_text(json.dumps(receipt) + "\n")

    not_done = tidied(shop)

    assert list(not_done) == ["b-hosted"]
    assert (home / "streams/b-hosted/page/index.html").exists()
    assert everything(home) >= {"jobs/failed/b-hosted.json"}
    assert Queue(home).names(State.FAILED) == ["b-hosted.json"]


def test_thinning_takes_clips_and_frames_of_old_deliveries_and_says_so(home: Path, shop: Shop) -> None:
    old = put(home, "old", State.COMPLETED, 31, paid=49)
    young = put(home, "young", State.COMPLETED, 30, paid=49)
    owed = put(home, "owed", State.FAILED, 1000, paid=49)
    before = everything(home)

    assert tidy.look(shop, None).is_empty
    assert tidied(shop, 30) == {}

    gone = {"streams/old/clips/01.mp4", "streams/old/frames/01/0001.jpg"}
    assert before - everything(home) == gone
    assert json.loads((old / "thinned.json").read_bytes()) == {"thinned_at": NOW.isoformat(), "files": 2}
    assert not (old / "clips").exists()
    assert not any((one / "thinned.json").exists() for one in (young, owed))
    assert tidy.look(shop, 30).is_empty


@pytest.mark.parametrize("killed_at", range(1, 4))
def test_a_stream_that_lacks_clips_says_so_wherever_thinning_is_killed(home: Path, shop: Shop, killed_at: int) -> None:
    roots = [put(home, name, State.COMPLETED, 100, paid=49) for name in ("a", "b")]
    child = os.fork()
    if child == 0:
        _die_at(killed_at)
        tidied(shop, 30)
        os._exit(0)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    for root in roots:
        is_whole = (root / "clips/01.mp4").exists() and (root / "frames/01/0001.jpg").exists()
        assert is_whole or (root / "thinned.json").exists()
    assert tidied(shop, 30) == {}
    assert not any((root / name).exists() for root in roots for name in ("clips", "frames"))
    assert all((root / "thinned.json").exists() for root in roots)


def test_what_a_killed_run_began_to_forget_is_forgotten_by_the_next(home: Path, shop: Shop) -> None:
    put(home, "half-gone", State.FAILED, 1000)
    child = os.fork()
    if child == 0:
        _die_at(1, forget)
        tidied(shop)
        os._exit(0)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert unfinished(home) == ["half-gone"]
    assert [old.name for old in tidy.look(shop, None).orders] == ["half-gone"]
    assert tidied(shop) == {}
    assert unfinished(home) == []
    assert not any("half-gone" in name for name in everything(home))


def _die_at(number: int, module: ModuleType = tidy) -> None:
    """This process is killed when it removes its ``number``-th folder, of which it has removed a part."""
    remove, calls = module.shutil.rmtree, iter(range(1, 100))

    def dying(folder: Path) -> None:
        if next(calls) == number:
            next(path for path in folder.rglob("*") if path.is_file()).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        remove(folder)

    module.shutil.rmtree = dying


def test_what_lies_beside_the_orders_goes_when_it_is_old(home: Path, shop: Shop) -> None:
    put(home, "order", State.COMPLETED, 1, paid=49)
    rehearsals = home / "streams" / ".rehearsals"
    for name, days in (("old", 31), ("young", 29)):
        (private_folder(rehearsals / name) / "page").write_text("made")
        age(rehearsals / name, days)
    dones = [home / "triggers" / f"daily-2026-01-0{day}.done" for day in (1, 2, 3)]
    for done in (*dones, home / "triggers/monthly-2025-12.done"):
        done.write_text("{}")
        age(done, 100)
    halves = [home / "jobs/processing/.order.json.tmp", home / "streams/order/.production.json.tmp"]
    for half in (*halves, home / "jobs/pending/.order.json.tmp"):
        half.write_text("half")
    for half in halves:
        age(half, 0.1)
    (private_folder(home / "streams" / "nobody") / "shop.lock").touch()
    (private_folder(home / "streams" / "somebody") / "lock").touch()
    age(home / "streams/nobody", 2)
    plan = tidy.look(shop, None)

    assert tidied(shop) == {}

    assert {old.name for old in plan.beside} == {
        "streams/.rehearsals/old",
        *(str(path.relative_to(home)) for path in (*dones[:2], *halves)),
        "streams/nobody",
    }
    assert not any((home / old.name).exists() for old in plan.beside)
    left = ("streams/.rehearsals/young/page", "jobs/pending/.order.json.tmp", "streams/somebody", "streams/order/page")
    assert all((home / name).exists() for name in (*left, "triggers/monthly-2025-12.done"))
    assert dones[2].exists()


# --- the program ---------------------------------------------------------------------------------------------------


def test_the_command_shows_asks_and_removes(home: Path, run: Run) -> None:
    put(home, "old", State.FAILED, 91)

    refused = run("tidy", stdin="n\n")
    assert refused.returncode == 1
    assert "old" in refused.stdout
    assert (home / "jobs/failed/old.json").exists()

    done = run("tidy", stdin="y\n")
    assert done.returncode == 0, done.stderr
    assert not (home / "jobs/failed/old.json").exists()
    assert run("tidy", "--yes").returncode == 3
    assert run("tidy", "--thin", "29").returncode == 2
    assert run("heartbeat", "pause").returncode == 0
    assert run("tidy", "--yes").returncode == 5


def test_a_thinned_order_is_made_anew_only_when_its_clips_may_be_bought_again(home: Path, run: Run) -> None:
    (home / "jobs/pending/tale.json").write_text(json.dumps({"stream_id": "tale", "customer_email": "a@b.example"}))
    assert run("process").returncode == 0
    assert run("review").returncode == 0
    job = home / "jobs/completed/tale.json"
    document = json.loads(job.read_bytes())
    for entry in document["history"]:
        entry["at"] = (NOW - timedelta(days=60)).isoformat()
    job.write_text(json.dumps(document))
    page = (home / "streams/tale/page/index.html").read_bytes()
    again = ("review", "--regenerate", "tale", "--segments", "1", "--note", "a calmer sea")

    began = datetime.now(UTC)
    thinned = run("tidy", "--thin", "30", "--yes")
    days = {f"{moment:%Y-%m-%d}" for moment in (began, datetime.now(UTC))}  # midnight may be between them
    assert thinned.returncode == 0, thinned.stderr
    assert not (home / "streams/tale/clips").exists()
    assert (home / "streams/tale/page/index.html").read_bytes() == page
    assert run("show", "tale").returncode == 0
    assert run("export", "tale", "--to", str(home / "tale.zip")).returncode == 0

    refused = run(*again)
    assert refused.returncode not in (0, 1, 3)
    assert any(f"removed on {day}" in refused.stderr for day in days)
    assert "--rebuy" in refused.stderr
    assert job.exists()

    agreed = run(*again, "--rebuy")
    assert agreed.returncode == 0, agreed.stderr
    assert not (home / "streams/tale/thinned.json").exists()
    assert run("process").returncode == 0
    assert run("review").returncode == 0
    assert len(list((home / "streams/tale/clips").iterdir())) > 1
    assert run("undo", "tale").returncode == 0
