"""``downstream process --rehearse``: the whole way of an order, and nothing changes outside its scratch."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.services import Services
from live import CUSTOMER, STORY, Shop

from downstream.heartbeat import write_heartbeat
from downstream.queue import NoSuchJob
from downstream.rehearse import KEPT, harmless, prepare
from downstream.settings import Secret, Settings
from downstream.site.read import read_marker, read_text

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)


def untouched(home: Path) -> dict[Path, tuple[int, int]]:
    """Every order and stream, file and folder: its identity and last change."""
    found = [*home.glob("jobs/*/**/*"), *home.glob("jobs/[!.]*"), *home.glob("streams/[!.]*/**/*")]
    return {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in found}


@pytest.fixture
def order(home: Path, hand_in: Callable[..., Path]) -> Callable[..., None]:
    """A paid order in any folder."""

    def put(stream_id: str = "order-1", state: str = "pending", **fields: Any) -> None:
        hand_in(stream_id, STORY)
        job = {"stream_id": stream_id, "customer_email": CUSTOMER, "paid_amount": 49, **fields}
        (home / "jobs" / state / f"{stream_id}.json").write_text(json.dumps(job))

    return put


# --- with services at hand that must not be asked ------------------------------------------------------------------


def test_a_paid_order_is_walked_to_its_letter_and_nobody_outside_hears_of_it(home: Path) -> None:
    with Services() as services:
        shop = Shop(home, services)
        shop.order(note="kept")
        write_heartbeat(home, status="PAUSED", renewed=NOW.date(), renew_days=30)
        before = untouched(home)

        ended = shop.run("process", "--rehearse")

        assert ended.returncode == 0
        assert untouched(home) == before
        assert shop.where() == "pending"
        assert (services.gemini.calls, services.replicate.calls, services.vercel.calls) == ([], [], [])
        assert services.smtp.letters == []
        assert not (home / "logs/ledger").exists()
    page, _, *words = ended.stdout.splitlines()
    (scratch,) = (home / "streams/.rehearsals").iterdir()
    assert page == str(scratch / "streams/order-1/public/index.html")
    html = Path(page).read_bytes()
    assert read_marker(html) == "order-1"
    assert read_text(html) == STORY
    (letter,) = (scratch / "streams/order-1/mail").iterdir()
    assert "rehearsal@example.com" in letter.read_text()
    assert words[0].startswith("order-1: ")
    assert words[-1] == "cap of this order $20.58: it fits"
    traces = [path for path in scratch.rglob("*") if path.is_file() and CUSTOMER.encode() in path.read_bytes()]
    assert traces == []
    assert all(path.stat().st_mode & 0o077 == 0 for path in (home / "streams/.rehearsals").rglob("*"))


# --- which orders ----------------------------------------------------------------------------------------------------


def test_everything_that_waits_is_rehearsed_and_what_cannot_be_made_says_why(
    home: Path, run: Run, order: Callable[..., None], drop: Callable[..., Path]
) -> None:
    order("good")
    drop("test")
    drop("lost", paid_amount=49)
    (home / "jobs/pending/bad.json").write_text("[]")
    before = untouched(home)

    ended = run("process", "--rehearse")

    assert ended.returncode == 4
    assert "lost cannot be made: streams/lost/input.json cannot be opened: No such file or directory" in ended.stderr
    pages = [line for line in ended.stdout.splitlines() if line.endswith("index.html")]
    assert sorted(Path(page).parts[-3] for page in pages) == ["good", "test"]
    assert "test costs nothing: nobody paid for it, so the embedded providers make it" in ended.stdout
    assert untouched(home) == before


@pytest.mark.parametrize("state", ["pending", "processing", "review", "completed", "failed"])
def test_an_order_named_is_rehearsed_wherever_it_lies(home: Path, order: Callable[..., None], state: str) -> None:
    order("named", state, live=True, cleared=True, redo={"clips": 3}, notes={"01": ["too dark"]}, tries=9)
    order("other")
    before = untouched(home)

    rehearsal = prepare(home, "named", NOW)

    assert rehearsal.stream_ids == ["named"]
    assert rehearsal.impossible == {}
    (copy,) = (rehearsal.home / "jobs/pending").iterdir()
    assert json.loads(copy.read_bytes()) == {"stream_id": "named", "customer_email": "rehearsal@example.com"}
    story = json.loads((rehearsal.home / "streams/named/input.json").read_bytes())
    assert (story["id"], story["text"]) == ("named", STORY)
    assert untouched(home) == before


def test_a_story_that_lies_elsewhere_comes_along(home: Path, hand_in: Callable[..., Path]) -> None:
    hand_in("order-1", STORY).rename(home / "streams/order-1/story.json")
    fields = {"stream_id": "order-1", "customer_email": CUSTOMER, "input_path": "/streams/order-1/story.json"}
    (home / "jobs/pending/order-1.json").write_text(json.dumps(fields))

    rehearsal = prepare(home, None, NOW)

    assert rehearsal.stream_ids == ["order-1"]
    assert json.loads((rehearsal.home / "streams/order-1/input.json").read_bytes())["text"] == STORY


def test_an_order_that_is_not_there_is_nobody_and_leaves_no_scratch(home: Path, run: Run) -> None:
    with pytest.raises(NoSuchJob):
        prepare(home, "nobody", NOW)

    assert not (home / "streams/.rehearsals").exists()
    assert run("process", "--rehearse", "--only", "nobody").returncode == 3
    assert run("process", "--rehearse", "--only", "../../x").returncode == 3


def test_with_nothing_waiting_there_is_nothing_to_rehearse(home: Path, run: Run) -> None:
    ended = run("process", "--rehearse")

    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", "")
    assert not (home / "streams/.rehearsals").exists()


# --- the scratch -----------------------------------------------------------------------------------------------------


def test_only_the_last_rehearsals_are_kept(home: Path, order: Callable[..., None]) -> None:
    order()

    made = [prepare(home, None, NOW + timedelta(microseconds=number)).home for number in range(KEPT + 2)]

    assert sorted((home / "streams/.rehearsals").iterdir()) == made[-KEPT:]


def test_no_key_and_no_question_comes_along() -> None:
    keys = {each.name: Secret("planted") for each in fields(Settings) if each.type == "Secret"}
    assert len(keys) == 8

    settings = harmless(Settings(**keys, review_policy="operator", clip_width=640))

    assert "Secret(set)" not in repr(settings)
    assert (settings.review_policy, settings.clip_width) == ("auto", 640)


def test_a_page_that_does_not_pass_its_checks_is_told(home: Path, run: Run, order: Callable[..., None]) -> None:
    order()

    ended = run("process", "--rehearse", PAGE_BYTES_PER_SEGMENT="1")

    assert ended.returncode == 4
    assert "order-1 did not get through: downstream --home " in ended.stderr
    assert "index.html" not in ended.stdout
