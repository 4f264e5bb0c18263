"""``downstream undo``: the address shows the version before again, once, whatever breaks in between."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import requests
from fakes.service import Fault
from fakes.services import Services
from fakes.vercel import stale_alias
from live import Shop
from queue_tools import in_child

from downstream.domain.errors import Misconfigured, Paused, PersonDecides, TryAgain
from downstream.domain.job import Entry, Job, What
from downstream.domain.ports import Published, Silence
from downstream.domain.state import State
from downstream.heartbeat import write_heartbeat
from downstream.locks import Lock
from downstream.log import open_log
from downstream.providers.embedded.hosting import EmbeddedHosting
from downstream.queue import Busy, NoSuchJob, Queue
from downstream.receipts import Receipts
from downstream.settings import Settings, read_settings
from downstream.suppliers import equip
from downstream.undo import undo, versions_shown

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.stages.context import Context

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)


def context(home: Path, settings: Settings | None = None) -> Context:
    """A run of the verb; waiting takes no time."""
    found = equip(home, settings or Settings(), "undo", open_log(home, "reviewer"), Silence())
    found.wait = lambda _: None  # type: ignore[method-assign]
    return found


def entry(what: What, version: str, minute: int) -> Entry:
    """A line of history that names a version."""
    return Entry(at=NOW + timedelta(minutes=minute), who="x", what=what, evidence={"address": "x", "version": version})


def delivered(home: Path, *versions: str, state: State = State.COMPLETED, **fields: object) -> None:
    """An order whose address has shown these versions, the last one now."""
    stream = home / "streams" / "test"
    for version in versions:
        folder = stream / "published" / version
        folder.mkdir(parents=True, exist_ok=True)
        page = f'<html><meta name="downstream-stream" content="test"><p>{version}'
        (folder / "index.html").write_text(page)
    stream.mkdir(exist_ok=True)
    (stream / "public").symlink_to(f"published/{versions[-1]}" if versions else "nowhere")
    history = tuple(entry(What.PUBLISHED, version, minute) for minute, version in enumerate(versions))
    job = Job.model_validate(
        {"stream_id": "test", "customer_email": "test@test.com", "history": history, **fields}, strict=False
    )
    (home / "jobs" / state / "test.json").write_bytes(job.to_json())


def shown(home: Path) -> str:
    """The version a visitor sees."""
    return (home / "streams/test/public/index.html").read_text().rpartition(">")[2]


def history(home: Path) -> list[tuple[What, object]]:
    """What happened to the order, and to which version."""
    job = Queue(home).read(State.COMPLETED, "test.json")
    return [(entry.what, entry.evidence.get("version")) for entry in job.history]


def test_the_version_before_is_shown_again_and_the_history_says_so(home: Path) -> None:
    delivered(home, "one", "two")

    published = undo(context(home), "test")

    assert published.version == "one"
    assert shown(home) == "one"
    assert history(home)[-1] == (What.UNDONE, "one")
    job = Queue(home).read(State.COMPLETED, "test.json")
    assert (job.history[-1].who, job.history[-1].evidence["address"]) == ("operator", published.address)
    assert Lock.take(home / "streams/test/lock") is not None


def test_each_undo_steps_back_by_one_and_the_first_version_is_the_end(home: Path) -> None:
    delivered(home, "one", "two", "three")

    assert undo(context(home), "test").version == "two"
    assert undo(context(home), "test").version == "one"
    with pytest.raises(PersonDecides, match=r"no version earlier than the one it shows.*review --regenerate test"):
        undo(context(home), "test")

    assert shown(home) == "one"
    assert [what for what, _ in history(home)].count(What.UNDONE) == 2


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        ("", ""),
        ("P1", "1"),
        ("P1 P2", "1 2"),
        ("P1 P1", "1"),
        ("P1 P2 U1", "1"),
        ("P1 P2 U1 P3", "1 3"),
        ("P1 P2 U1 P2", "1 2"),
        ("P1 P2 P1", "1 2 1"),
        ("P1 P2 P3 U2 U1", "1"),
        ("U1 P1", "1"),
    ],
)
def test_what_was_undone_is_not_what_was_there_before(happened: str, expected: str) -> None:
    whats = {"P": What.PUBLISHED, "U": What.UNDONE}
    lines = tuple(entry(whats[one[0]], one[1:], minute) for minute, one in enumerate(happened.split()))
    job = Job(stream_id="test", customer_email="test@test.com", history=lines)

    assert versions_shown(job) == expected.split()


@pytest.mark.parametrize("versions", [(), ("one",)])
def test_an_order_without_an_earlier_version_says_so_and_stays(home: Path, versions: tuple[str, ...]) -> None:
    delivered(home, *versions)
    before = (home / "jobs/completed/test.json").read_bytes()

    with pytest.raises(PersonDecides, match="test has no version earlier"):
        undo(context(home), "test")

    assert (home / "jobs/completed/test.json").read_bytes() == before
    assert not (home / "streams/test/receipts.jsonl").exists()


@pytest.mark.parametrize("state", [State.PENDING, State.PROCESSING, State.REVIEW, State.FAILED])
def test_only_what_was_delivered_can_be_undone(home: Path, state: State) -> None:
    delivered(home, "one", "two", state=state)

    with pytest.raises(PersonDecides, match=f"test is in jobs/{state}; undo is for"):
        undo(context(home), "test")

    assert shown(home) == "two"


def test_an_order_that_is_not_there_or_in_somebodys_hands_is_left_alone(home: Path) -> None:
    with pytest.raises(NoSuchJob):
        undo(context(home), "test")
    delivered(home, "one", "two")

    with Lock.wait(home / "streams/test/lock"), pytest.raises(Busy):
        undo(context(home), "test")

    assert shown(home) == "two"


def test_a_paid_order_is_not_undone_without_keys(home: Path) -> None:
    delivered(home, "one", "two", paid_amount=49)

    with pytest.raises(Misconfigured, match="needs outside services"):
        undo(context(home), "test")

    assert shown(home) == "two"


def test_a_paused_house_shows_what_it_shows(home: Path) -> None:
    delivered(home, "one", "two")
    write_heartbeat(home, status="PAUSED", renewed=NOW.date(), renew_days=30)

    with pytest.raises(Paused):
        undo(context(home), "test")

    assert shown(home) == "two"


def test_a_version_the_host_has_lost_is_told_of_and_nothing_is_noted(home: Path) -> None:
    delivered(home, "one", "two")
    (home / "streams/test/published/one/index.html").unlink()
    (home / "streams/test/published/one").rmdir()

    with pytest.raises(PersonDecides, match="published has no version one"):
        undo(context(home), "test")

    assert shown(home) == "two"
    assert [what for what, _ in history(home)] == [What.PUBLISHED] * 2


def test_an_address_that_shows_another_page_is_not_reported_as_undone(home: Path) -> None:
    delivered(home, "one", "two")
    page = home / "streams/test/published/one/index.html"
    mine = page.read_text()
    page.write_text(mine.replace('content="test"', 'content="another"'))

    with pytest.raises(TryAgain, match="does not show a page of test"):
        undo(context(home), "test")

    assert What.UNDONE not in dict(history(home))
    page.write_text(mine)
    assert undo(context(home), "test").version == "one"


def test_an_address_that_is_slow_to_change_is_looked_at_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delivered(home, "one", "two")
    looks, fetch = [], EmbeddedHosting.fetch

    def slowly(self: EmbeddedHosting, published: Published, path: str) -> bytes:
        looks.append(path)
        if len(looks) < 4:
            raise TryAgain("nothing is there yet")
        return fetch(self, published, path)

    monkeypatch.setattr(EmbeddedHosting, "fetch", slowly)

    assert undo(context(home), "test").version == "one"
    assert looks == [""] * 4


def test_killed_at_any_write_and_run_again_it_is_done_once(tmp_path: Path, home: Path) -> None:
    """The child dies before its first sync, its second, ... until it gets through."""
    sync = os.fsync
    for most in range(100):
        folder = tmp_path / f"home-{most}"
        os.renames(home, folder) if most == 0 else _lay_out(folder)
        delivered(folder, "one", "two")

        def run(folder: Path = folder, most: int = most) -> None:
            left = iter(range(most))

            def count(descriptor: int) -> None:
                if next(left, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                sync(descriptor)

            os.fsync = count
            undo(context(folder), "test")

        ended = in_child(run)
        if What.UNDONE not in dict(history(folder)):
            undo(context(folder), "test")

        assert shown(folder) == "one"
        assert [what for what, _ in history(folder)] == [What.PUBLISHED, What.PUBLISHED, What.UNDONE]
        calls = [one.call for one in Receipts(folder / "streams/test/receipts.jsonl").attempts]
        assert calls == ["undo"]
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert most > 5


def _lay_out(folder: Path) -> None:
    from downstream.installation import lay_out

    lay_out(folder, today=datetime.now(UTC).date(), program="downstream")


def test_a_paid_page_goes_back_to_its_first_version_at_the_same_address(home: Path) -> None:
    with Services() as services:
        shop, address, first, second = redone(home, services)
        bill, letters = len(services.bill), len(services.smtp.letters)

        ended = shop.run("undo", "order-1")

        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout == f"{address} shows the version before\n"
        assert visit(address) == first != second
        assert (len(services.bill), len(services.smtp.letters)) == (bill, letters)
        again = shop.run("undo", "order-1")
        assert (again.returncode, again.stdout) == (4, "")
        assert again.stderr.startswith("not done: order-1 has no version earlier than the one it shows")
        assert services.violations == []


def test_an_address_that_goes_on_showing_the_undone_version_is_not_reported_as_undone(home: Path) -> None:
    with Services() as services:
        shop, address, first, second = redone(home, services)
        found = context(home, read_settings(shop.environment()))
        services.vercel.fail_next(stale_alias(3600), operations={"assignAlias"})

        with pytest.raises(TryAgain, match=r"does not show version dpl_\w+ of order-1 yet; try again"):
            undo(found, "order-1")

        assert "undone" not in [line["what"] for line in shop.job()["history"]]
        assert visit(address) == second
        services.vercel.fail_next(stale_alias(2), operations={"assignAlias"})
        ended = shop.run("undo", "order-1")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert visit(address) == first
        assert services.violations == []


def test_a_conflict_at_the_host_is_no_success(home: Path) -> None:
    with Services() as services:
        shop, address, first, second = redone(home, services)
        services.vercel.fail_next(Fault.status(409), operations={"assignAlias"})

        ended = shop.run("undo", "order-1")

        assert (ended.returncode, ended.stdout) == (7, "")
        assert "does not give" in ended.stderr
        assert "undone" not in [line["what"] for line in shop.job()["history"]]
        assert visit(address) == second
        assert shop.run("undo", "order-1").returncode == 0
        assert visit(address) == first


def redone(home: Path, services: Services) -> tuple[Shop, str, bytes, bytes]:
    """A delivered order with a second version: its shop, its address, and what both versions look like there."""
    shop = Shop(home, services)
    shop.order()
    shop.run("process")
    shop.run("review")
    published = next(line for line in shop.job()["history"] if line["what"] == "published")
    address = str(published["evidence"]["address"])
    first = visit(address)
    shop.run("review", "--regenerate", "order-1", "--segments", "2", "--note", "the boat has no sail")
    shop.run("process")
    shop.run("review")
    return shop, address, first, visit(address)


def visit(address: str) -> bytes:
    """What anybody sees there."""
    response = requests.get(address, timeout=30)
    response.raise_for_status()
    return response.content
