"""The machine runs out of something in the middle of the work: told once, nothing lost, nothing paid twice, all clear.

The reserves of the guard are switched off, so that it comes down to the last byte; that nothing is begun below them is
told in ``tests/test_guard.py``.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from disks import Ext4
from fakes.stripe import FakeStripe
from fakes.stripe_webhooks import encoded
from matrix import ORDER, TALE, TINY, TITLE, WANTED, Row, services, wrong_books
from served import at_checkout, core, half_written, jobs, serving, shop_environment

from downstream.alerts import is_over, told
from downstream.files import write_durably
from downstream.holds import OPERATOR, Hold, hold
from downstream.installation import lay_out
from downstream.shop.events import receive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from matrix import Program

LAST_BYTE = {"DISK_RESERVE_MB": "0", "MEMORY_RESERVE_MB": "0"}
BEGUN = {
    "process": (
        *(f"before receipt intent {step}" for step in ("screen", "plan", "keyframes/cast", "keyframes/03")),
        *(f"before receipt intent {step}" for step in ("judge/keyframes", "clips/03", "frames/02")),
        *(f"after receipt intent {step}" for step in ("frames/02", "frames/03", "page")),
    ),
    "review": tuple(f"before receipt intent {step}" for step in ("judge/clips", "publish", "mail")),
}
"""Every step: struck just before it is noted that it is about to be made, or while it is; what is bought, before."""
LOST = {"process": ("plan", "keyframes/03", "clips/03"), "review": ("publish", "mail")}
"""Struck after the answer came, and before that is noted."""


@dataclass
class Trouble:
    """Something runs out: the command that makes it so, what ends it, and what the operator reads."""

    strike: list[str]
    relieve: Callable[[], None]
    words: tuple[str, ...]


def full(disk: Ext4) -> Trouble:
    """Not a byte more fits."""
    ballast = disk.folder / "ballast"
    little = f"while echo >> {ballast}/$i; do i=$((i+1)); done; sync -f {ballast}"
    fill = f"mkdir {ballast}; cat /dev/zero > {ballast}/much; sync -f {ballast}; i=0; {little}; {little}"
    words = ("No space left", f"on {disk.folder}, where", "0 MB and")
    return Trouble(["bash", "-c", f"({fill}) 2>/dev/null; :"], lambda: shutil.rmtree(ballast), words)


def crowded(disk: Ext4) -> Trouble:
    """Not a file more fits."""
    ballast = disk.folder / "ballast"
    fill = f"mkdir {ballast}; i=0; while : > {ballast}/$i; do i=$((i+1)); done"
    words = ("No space left", f"on {disk.folder}, where", "and 0 inodes are free")
    return Trouble(["bash", "-c", f"({fill}) 2>/dev/null; :"], lambda: shutil.rmtree(ballast), words)


def broken(disk: Ext4) -> Trouble:
    """The kernel has found a fault and makes the file system read-only."""
    return Trouble(disk.failing(), disk.repair, ("Read-only", f"on {disk.folder}, where", "fsck"))


class Machine(Row):
    """The order on a small disk; what cron would mail lies elsewhere."""

    @property
    def output(self) -> Path:
        return self.home.parent.with_name("output.txt")


@contextmanager
def machine(folder: Path, program: Program) -> Iterator[tuple[Machine, Ext4]]:
    """One paid order and its services."""
    with Ext4(folder / "disk", 8) as disk, services() as found:
        home = disk.folder / "home"
        lay_out(home, today=datetime.now(UTC).date(), program="downstream")
        row = Machine(home, found, TINY | LAST_BYTE, program=program)
        row.order(ORDER, TALE, title=TITLE)
        os.sync()
        yield row, disk


def torn(home: Path) -> list[str]:
    """What lies half-written below a name that counts; the pace and the order of service are made anew."""
    return [name for name in half_written(home) if not name.startswith(("jobs/.limits/", "jobs/.order.json"))]


def as_if_for_the_first_time(row: Machine) -> None:
    """The next trouble is news, and the order has not been left behind by any run."""
    for fingerprint in told(row.home, ""):
        is_over(row.home, fingerprint)
    path = row.home / "jobs" / row.where() / f"{ORDER}.json"
    write_durably(path, json.dumps(row.job() | {"recoveries": 0}).encode())


def struck(row: Machine, trouble: Trouble, stage: str, moment: str) -> None:
    """It happens in the middle of a run, lasts for two ticks more, and is over."""
    first = row.tick(stage, kill_at=moment, instead=trouble.strike)
    assert first.code == 6, (moment, first)
    assert first.tells(*trouble.words), (moment, first)
    for _ in range(2):
        again = row.tick(stage)
        assert (again.code, again.is_quiet) == (6, True), (moment, again)
    trouble.relieve()
    assert row.where() in ({"pending", "processing"} if stage == "process" else {"review"})


def finish_with_all_clear(row: Machine, stage: str) -> None:
    """What was done goes on by itself, and the operator hears of it once."""
    cleared = row.tick(stage)
    assert cleared.code == 0, cleared
    assert cleared.tells(f"all clear: {stage} works again")
    assert row.tick(stage).is_quiet


@pytest.mark.parametrize("trouble_of", [full, crowded, broken])
def test_at_every_step_it_is_told_once_and_nothing_is_lost_or_paid_twice(
    tmp_path: Path, program: Program, trouble_of: Callable[[Ext4], Trouble]
) -> None:
    with machine(tmp_path, program) as (row, disk):
        for stage, moments in BEGUN.items():
            for moment in moments:
                as_if_for_the_first_time(row)
                struck(row, trouble_of(disk), stage, f"{moment} #1")
            finish_with_all_clear(row, stage)

        assert row.where() == "completed"
        assert row.bill == WANTED
        assert len(row.letters) == 1
        assert len(row.services.vercel.deployments) == 1
        assert wrong_books(row) == []
        assert torn(row.home) == []


def test_an_answer_that_could_not_be_stored_counts_as_spent_and_is_asked_for_once_more(
    tmp_path: Path, program: Program
) -> None:
    with machine(tmp_path, program) as (row, disk):
        for stage, steps in LOST.items():
            for step in steps:
                as_if_for_the_first_time(row)
                struck(row, broken(disk), stage, f"before receipt outcome {step} #1")
            finish_with_all_clear(row, stage)

        assert row.where() == "completed"
        assert row.bill == WANTED + Counter({"gemini text": 1, "gemini keyframe": 1})
        assert [row.phases(call)[1] for call in ("plan", "keyframes/03", "mail")] == ["unknown"] * 3
        # Bought clips and a published page are found again; a letter says that it is the same.
        assert len(row.services.vercel.deployments) == 1
        assert len({letter.message["Message-ID"] for letter in row.letters}) == 1
        assert wrong_books(row) == []
        assert torn(row.home) == []


# --- open files and memory -------------------------------------------------------------------------------------------


def limited(row: Machine, limit: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The real program under one of the limits of prlimit(1)."""
    command = ["prlimit", limit, sys.executable, "-m", "downstream", "--home", str(row.home), *arguments]
    return subprocess.run(command, env=row.environment(), capture_output=True, text=True, timeout=120, check=False)


def test_with_too_few_open_files_nothing_is_lost_or_paid_twice(tmp_path: Path, program: Program) -> None:
    with machine(tmp_path, program) as (row, _):
        first = limited(row, "--nofile=8", "process")
        assert first.returncode == 6
        assert "Too many open files" in first.stderr
        assert "LimitNOFILE" in first.stderr
        for most in range(8, 18, 3):
            row.later()
            ended = limited(row, f"--nofile={most}", "process")
            # 5: the heartbeat could not be read.
            assert ended.returncode in {0, 3, 5, 6}, (most, ended.stderr)
            assert "Too many open files" not in ended.stderr  # known
        row.finish()
        assert wrong_books(row) == []


def test_under_a_limit_of_memory_nothing_is_begun_and_the_order_waits(tmp_path: Path, program: Program) -> None:
    with machine(tmp_path, program) as (row, _):
        row.settings["MEMORY_RESERVE_MB"] = "300"
        for megabytes in (50, 100, 150, 200, 300, 400):
            ended = limited(row, f"--as={megabytes * 1_000_000}", "process")
            assert ended.returncode == 6, (megabytes, ended.stderr)
            assert "memory" in ended.stderr or not ended.stderr
            assert "Traceback" not in ended.stderr
        assert row.bill == Counter()
        assert row.where() == "pending"

        cleared = row.tick("process")
        row.finish()

    assert cleared.tells("all clear: process works again")


def test_an_order_whose_run_is_killed_for_want_of_memory_goes_on_three_times(tmp_path: Path, program: Program) -> None:
    with machine(tmp_path, program) as (row, _):
        for step in ("keyframes/02", "frames/01", "frames/02"):
            assert row.tick("process", kill_at=f"before receipt outcome {step} #1").code == -9

        assert row.tick("process").is_quiet

        assert row.where() == "review"
        row.finish(extra={"gemini keyframe": 1})  # whose answer went with the run


def test_an_order_whose_run_is_killed_at_every_turn_is_a_persons(tmp_path: Path, program: Program) -> None:
    with machine(tmp_path, program) as (row, _):
        for _ in range(4):
            assert row.tick("process", kill_at="before receipt intent page #1").code == -9

        told_of = row.tick("process")
        assert told_of.code == 4
        assert told_of.tells("4 times; did the kernel kill it for want of memory (dmesg)?", f"downstream retry {ORDER}")

        assert row.tick("retry", ORDER).code == 0
        row.finish()


# --- the shop, the reports and backups -------------------------------------------------------------------------------


def test_without_an_inode_a_payment_is_not_acknowledged_and_stripe_calls_again(tmp_path: Path) -> None:
    with Ext4(tmp_path / "disk", 8) as disk, FakeStripe() as account:
        home = disk.folder / "home"
        lay_out(home, today=datetime.now(UTC).date(), program="downstream")
        settings = shop_environment(account) | LAST_BYTE
        trouble = crowded(disk)
        with serving(home, settings) as served:
            order, session = at_checkout(core(home, settings))
            account.pay(session)
            (event,) = account.events
            subprocess.run(trouble.strike, check=True)
            assert served.tell(event).status == 503
            assert jobs(home) == {}
            trouble.relieve()

            assert served.tell(event).status == 200

        assert jobs(home) == {order.stream_id: ["pending"]}
        assert half_written(home) == []


def test_a_server_with_too_few_open_files_answers_again_when_others_have_gone(home: Path) -> None:
    with FakeStripe() as account:
        settings = shop_environment(account) | LAST_BYTE
        order, session = at_checkout(core(home, settings))
        account.pay(session)
        with serving(home, settings) as served:
            subprocess.run(["prlimit", "--nofile=24", "--pid", str(served.process_id)], check=True)
            idle = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(40)]
            assert served.caller(2).tell(b"{}", "").status in {0, 400, 503}
            assert jobs(home) == {}
            for connection in idle:
                connection.close()

            assert served.tell(account.events[0]).status == 200
            assert "Traceback" not in served.said

        assert jobs(home) == {order.stream_id: ["pending"]}
        assert half_written(home) == []


def test_a_letter_that_cannot_be_noted_is_not_sent_until_it_can(tmp_path: Path, program: Program) -> None:
    found = services()
    found.stripe = account = FakeStripe()
    with Ext4(tmp_path / "disk", 8) as disk, found:
        home = disk.folder / "home"
        lay_out(home, today=datetime.now(UTC).date(), program="downstream")
        row = Machine(home, found, TINY | LAST_BYTE, program=program)
        shop = core(home, row.environment())
        order, session = at_checkout(shop)
        account.pay(session)
        (event,) = account.events
        body = encoded(event)
        receive(shop, body, account.sign(body))
        hold(home, Hold(order.stream_id, OPERATOR, "so that only its letter is worked on", ""))
        trouble = full(disk)
        subprocess.run(trouble.strike, check=True)

        ticks = [row.tick("process") for _ in range(3)]

        assert [tick.code for tick in ticks] == [6, 6, 6]
        assert ticks[0].tells(*trouble.words)
        assert [tick.is_quiet for tick in ticks] == [False, True, True]
        assert row.letters == []
        trouble.relieve()
        assert row.tick("process").tells("all clear: process works again")
        assert row.tick("process").is_quiet
        assert len(row.letters) == 1


def test_a_report_that_cannot_be_written_is_made_when_there_is_room(tmp_path: Path, program: Program) -> None:
    with machine(tmp_path, program) as (row, disk):
        trouble = full(disk)
        subprocess.run(trouble.strike, check=True)
        first, second = row.tick("daily"), row.tick("daily")
        assert (first.code, second.code) == (6, 6)
        assert first.tells(*trouble.words)
        assert second.is_quiet
        trouble.relieve()

        assert row.tick("daily").tells("all clear: daily works again")

        assert len(list(row.home.glob("logs/reviews/daily-*.md"))) == 1
        assert torn(row.home) == []


def test_a_backup_that_does_not_fit_is_none_and_says_which_disk_is_full(tmp_path: Path, home: Path) -> None:
    def back_up() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "downstream", "--home", str(home), "backup", str(disk.folder / "backups")]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    (home / "logs" / "large.log").write_bytes(os.urandom(1_000_000))
    with Ext4(tmp_path / "disk", 8) as disk:
        assert back_up().returncode == 0
        (home / "logs" / "large.log").write_bytes(os.urandom(7_000_000))

        ended = back_up()

        assert ended.returncode == 6
        assert f"on {disk.folder}, where" in ended.stderr
        assert len(list((disk.folder / "backups").glob("2*/manifest.json"))) == 1
        (home / "logs" / "large.log").write_bytes(os.urandom(500_000))
        assert back_up().returncode == 0
