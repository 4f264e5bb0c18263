"""``downstream export``: everything held of an order in one file, in words a customer understands."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from downstream.domain.errors import PersonDecides
from downstream.domain.state import State
from downstream.holds import Hold, hold
from downstream.locks import Lock
from downstream.queue import NoSuchJob, Queue
from downstream.receipts import Receipts
from downstream.shop.export import export

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Counter

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)


@pytest.fixture
def made(home: Path, drop: Callable[..., Path], hand_in: Callable[..., Path]) -> Path:
    """The folder of an order that is being made: ``order``."""
    hand_in("order", "Once upon a time.")
    drop("order", paid_amount=49, paid_at="2026-01-06T10:00:00Z")
    root = home / "streams/order"
    receipts = Receipts(root / "receipts.jsonl")
    for provider in ("gemini", "vercel", "smtp"):
        receipts.settle(receipts.intend(f"call-{provider}", "i", provider))
    (root / "production.json").write_text('{"stream": "order"}')
    for name in ("page/index.html", "published/v1/index.html", "clips/01.mp4", "mail/a.eml", "notes-by-hand/x.txt"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(name)
    return root


def packed(path: Path) -> dict[str, bytes]:
    """The files of a ZIP by their names; it must be whole."""
    with zipfile.ZipFile(path) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


def test_everything_that_is_held_is_in_it_byte_for_byte(home: Path, made: Path, tmp_path: Path) -> None:
    hold(home, Hold("order", "operator", "looked at", NOW.isoformat()))
    files = [path for path in made.rglob("*") if path.is_file()]

    target = export(home, "order", tmp_path / "out.zip", NOW)

    found = packed(target)
    assert set(found) == {
        "README.txt",
        "jobs/pending/order.json",
        "jobs/.holds/order.json",
        *(str(path.relative_to(home)) for path in files),
    }
    assert all(found[str(path.relative_to(home))] == path.read_bytes() for path in files)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_the_readme_says_what_each_file_is_who_received_it_and_how_long_it_is_kept(
    home: Path, made: Path, tmp_path: Path
) -> None:
    text = packed(export(home, "order", tmp_path / "out.zip", NOW))["README.txt"].decode()

    assert "streams/order/input.json\n      your story and brief" in text
    assert "jobs/pending/order.json\n      your order in our queue" in text
    assert "streams/order/notes-by-hand\n      another file of your order" in text
    received = text.partition("Who received something of it\n")[2].partition("\n\n")[0]
    assert [line.split()[0] for line in received.splitlines()] == ["Google", "Vercel", "our"]
    assert "for 10 years" in text
    assert "after 14 days" in text
    assert max(len(line) for line in text.splitlines()) <= 130


def test_where_nobody_received_anything_it_says_so(home: Path, drop: Callable[..., Path], tmp_path: Path) -> None:
    drop("test")

    assert (
        b"Nobody: everything was made on our own machine."
        in packed(export(home, "test", tmp_path / "x", NOW))["README.txt"]
    )


@pytest.mark.parametrize("state", list(State))
def test_it_works_in_any_state_and_while_the_order_is_made(
    home: Path, made: Path, tmp_path: Path, state: State
) -> None:
    Queue(home).path(State.PENDING, "order").rename(Queue(home).path(state, "order"))

    with Lock.wait(made / "lock"), Lock.wait(made / "shop.lock"):
        found = packed(export(home, "order", tmp_path / "out.zip", NOW))

    assert f"jobs/{state}/order.json" in found
    assert not [name for name in found if name.endswith("lock")]


def test_a_paid_order_of_the_shop_comes_with_its_order_and_its_letters(counter: Counter, tmp_path: Path) -> None:
    order, session_id = counter.at_checkout()
    counter.stripe.pay(session_id)
    counter.tell_all()

    found = packed(export(counter.home, order.stream_id, tmp_path / "out.zip", NOW))

    held = json.loads(found[f"streams/{order.stream_id}/order.json"])
    assert held["secret"] == order.secret
    assert held["paid"]["session_id"] == session_id
    assert json.loads(found[f"streams/{order.stream_id}/input.json"])["title"] == "The harbour"
    assert "Stripe took the payment" in found["README.txt"].decode()


def test_a_draft_can_be_had_too(counter: Counter, tmp_path: Path) -> None:
    order = counter.draft()

    found = packed(export(counter.home, order.stream_id, tmp_path / "out.zip", NOW))

    assert set(found) == {"README.txt", f"streams/.drafts/{order.stream_id}.json"}


def test_links_are_not_followed_and_what_is_half_written_or_no_file_is_left_out(
    home: Path, made: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("planted-secret")
    (made / "leads-out.txt").symlink_to(tmp_path / "secret.txt")
    (made / "folder-out").symlink_to(tmp_path)
    (made / "public").symlink_to("published/v1")
    (made / ".half.tmp").write_text("half")
    (made / "published/.v2").mkdir()
    (made / "published/.v2/index.html").write_text("half")
    os.mkfifo(made / "pipe")
    (home / "streams/.rehearsals/x/streams/order").mkdir(parents=True)
    (home / "streams/.rehearsals/x/streams/order/input.json").write_text("a copy")

    found = packed(export(home, "order", tmp_path / "out.zip", NOW))

    assert b"planted-secret" not in b"".join(found.values())
    names = " ".join(found)
    assert not [
        one for one in ("leads-out", "folder-out", "public/", "half", ".v2", "pipe", "rehearsals") if one in names
    ]


def test_nothing_is_overwritten(home: Path, made: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    target.write_text("mine")

    with pytest.raises(PersonDecides, match=r"out\.zip exists already"):
        export(home, "order", target, NOW)

    assert target.read_text() == "mine"


def test_half_a_file_does_not_stay(home: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "write", fail)

    with pytest.raises(OSError, match="No space"):
        export(home, "order", tmp_path / "out.zip", NOW)

    assert not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize("name", ["nothing", "*", "../jobs", "a/b", ""])
def test_what_is_no_order_is_not_packed(home: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(NoSuchJob):
        export(home, name, tmp_path / "out.zip", NOW)

    assert not (tmp_path / "out.zip").exists()


def test_a_job_file_that_is_none_is_packed_as_it_is(home: Path, tmp_path: Path) -> None:
    (home / "jobs/failed/odd.json").write_text("[]")

    assert packed(export(home, "odd", tmp_path / "out.zip", NOW))["jobs/failed/odd.json"] == b"[]"


def test_the_command_works_while_paused_and_says_where_the_file_is(
    home: Path, made: Path, tmp_path: Path, run: Callable[..., Any]
) -> None:
    run("heartbeat", "pause")

    first = run("export", "order", "--to", str(tmp_path / "out.zip"))
    second = run("export", "order", "--to", str(tmp_path / "out.zip"))

    assert (first.returncode, first.stdout) == (0, f"{tmp_path}/out.zip\n")
    assert (second.returncode, second.stdout) == (4, "")
    assert "exists already; --to names another file" in second.stderr
