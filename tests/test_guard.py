"""Nothing is begun, and so nothing bought, that the machine could not store or hold; it goes on when there is room."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from conftest import environment
from disks import as_root, disk_of, resize
from fakes.stripe import FakeStripe
from served import at_checkout, core, jobs, serving, shop_environment

from downstream import guard
from downstream.domain.errors import NoRoom
from downstream.guard import available_memory_bytes, check_disk, check_room, has_disk
from downstream.installation import lay_out
from downstream.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

PLENTY = Settings(disk_reserve_mb=1, memory_reserve_mb=1)
ENDLESS = 1_000_000
"""Megabytes that no machine has free."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of eight megabytes."""
    with disk_of(tmp_path / "disk", 8) as disk:
        yield disk


def test_a_machine_with_room_may_work(home: Path) -> None:
    check_room(home, PLENTY)


def test_too_little_disk_is_named_with_what_is_free_and_what_is_needed(disk: Path) -> None:
    with pytest.raises(NoRoom) as found:
        check_room(disk, replace(PLENTY, disk_reserve_mb=100))

    assert str(disk.resolve()) in str(found.value)
    assert "8 MB are free, 100 MB must be: DISK_RESERVE_MB" in str(found.value)
    assert found.value.fingerprint == f"disk.{disk.resolve()}"


def test_too_few_inodes_are_named(disk: Path) -> None:
    as_root("mount", "-o", "remount,nr_inodes=7", str(disk))

    with pytest.raises(NoRoom, match=r"inodes are free, 8 must be: 2 for each of DISK_RESERVE_MB"):
        check_disk(disk, replace(PLENTY, disk_reserve_mb=4))


def test_with_a_reserve_of_nothing_nobody_looks(disk: Path) -> None:
    (disk / "ballast").write_bytes(b"\1" * 8_000_000)

    assert not has_disk(disk, PLENTY)
    assert has_disk(disk, replace(PLENTY, disk_reserve_mb=0))


def test_the_temporary_folder_counts_where_it_is_used(disk: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    settings = replace(PLENTY, disk_reserve_mb=100)
    check_room(home, settings)

    with pytest.raises(NoRoom, match=str(disk.resolve())):
        check_room(home, replace(settings, director="claude"))


# --- memory ----------------------------------------------------------------------------------------------------------


def machine(root: Path, available_kilobytes: int, groups: str = "", **files: str) -> Path:
    """A machine's own accounts of its memory, below a folder; ``files`` by path, with ``__`` for each slash."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 9999999 kB\nMemAvailable:   {available_kilobytes} kB\n")
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("--", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def group(folder: str, limit: str, used: int, cached: int = 0) -> dict[str, str]:
    """The files of one control group of the second version."""
    return {
        f"{folder}__memory--max": f"{limit}\n",
        f"{folder}__memory--current": f"{used}\n",
        f"{folder}__memory--stat": f"anon 5\ninactive_file {cached}\n",
    }


def test_this_machine_has_memory() -> None:
    available = available_memory_bytes()

    assert available is not None
    assert 1_000_000 < available < 10**15


def test_without_control_groups_the_machines_own_figure_counts(tmp_path: Path) -> None:
    assert available_memory_bytes(machine(tmp_path, 2000)) == 2000 * 1024


def test_a_control_group_may_leave_less_than_the_machine_has(tmp_path: Path) -> None:
    files = group("work", "max", 10) | group("work__shop", "1000000", 700_000, cached=50_000)

    assert available_memory_bytes(machine(tmp_path, 2000, "0::/work/shop\n", **files)) == 350_000


def test_the_tightest_of_nested_control_groups_counts(tmp_path: Path) -> None:
    files = group("work", "800000", 700_000) | group("work__shop", "1000000", 700_000)

    assert available_memory_bytes(machine(tmp_path, 2000, "0::/work/shop\n", **files)) == 100_000


def test_a_group_of_the_first_version_counts(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        2000,
        "5:cpu:/x\n4:memory:/work\n0::/\n",
        memory__work__memory__limit_in_bytes="1",
    )
    folder = root / "sys/fs/cgroup/memory/work"
    (folder / "memory.limit_in_bytes").write_text("500000\n")
    (folder / "memory.usage_in_bytes").write_text("400000\n")
    (folder / "memory.stat").write_text("cache 9\ntotal_inactive_file 30000\n")

    assert available_memory_bytes(root) == 130_000


def test_a_machine_that_tells_nothing_is_trusted(tmp_path: Path) -> None:
    assert available_memory_bytes(tmp_path) is None


def test_too_little_memory_is_named_with_what_is_there_and_what_is_needed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "available_memory_bytes", lambda: 123_000_000)

    with pytest.raises(NoRoom, match=r"123 MB are available, 300 MB must be: MEMORY_RESERVE_MB") as found:
        check_room(home, replace(PLENTY, memory_reserve_mb=300))

    assert found.value.fingerprint == "memory"


# --- the program -----------------------------------------------------------------------------------------------------


def test_a_run_without_room_begins_nothing_says_so_once_and_goes_on_by_itself(
    home: Path, drop: Callable[..., Path], run: Run
) -> None:
    path = drop()
    before = path.read_bytes()

    first = run("process", DISK_RESERVE_MB=str(ENDLESS))
    second = run("process", DISK_RESERVE_MB=str(ENDLESS))

    assert (first.returncode, second.returncode) == (6, 6)
    assert f"too little room on the file system of {home.resolve()}" in first.stderr
    assert second.stderr == ""
    assert path.read_bytes() == before
    assert not (home / "streams/test/receipts.jsonl").exists()

    third = run("process")

    assert third.returncode == 0
    assert "all clear: process works again" in third.stderr
    assert (home / "jobs/review/test.json").exists()


def test_the_all_clear_comes_also_when_no_order_waits_any_more(home: Path, drop: Callable[..., Path], run: Run) -> None:
    path = drop()
    run("process", MEMORY_RESERVE_MB=str(ENDLESS))
    path.unlink()

    assert run("process", MEMORY_RESERVE_MB=str(ENDLESS)).returncode == 6
    assert "all clear" in run("process").stderr
    assert run("process").stderr == ""


def test_a_page_is_not_delivered_without_room_and_lies_where_it_was(
    home: Path, drop: Callable[..., Path], run: Run
) -> None:
    drop()
    assert run("process").returncode == 0

    refused = run("review", DISK_RESERVE_MB=str(ENDLESS))

    assert refused.returncode == 6
    assert "too little room" in refused.stderr
    assert (home / "jobs/review/test.json").exists()
    assert run("review").returncode == 0
    assert (home / "jobs/completed/test.json").exists()


def test_a_disk_that_fills_up_in_the_middle_stops_before_the_next_piece(disk: Path) -> None:
    resize(disk, "64m")
    home = disk / "home"
    lay_out(home, today=datetime.now(UTC).date(), program="downstream")
    (home / "jobs/pending/test.json").write_text('{"stream_id": "test", "customer_email": "test@test.com"}')
    command = [sys.executable, "-m", "downstream", "--home", str(home), "process"]
    reserve = shutil.disk_usage(disk).free // 1_000_000 - 1
    # Room for the plan and some pictures more than is needed.
    (disk / "ballast").write_bytes(b"\1" * (shutil.disk_usage(disk).free - reserve * 1_000_000 - 60_000))
    settings = environment(DISK_RESERVE_MB=str(reserve), SEGMENTS_AT_ONCE="1")

    ended = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=120, check=False)

    assert ended.returncode == 6
    assert "DISK_RESERVE_MB" in ended.stderr
    assert (home / "jobs/pending/test.json").exists()
    phases = [json.loads(line)["phase"] for line in (home / "streams/test/receipts.jsonl").read_bytes().splitlines()]
    assert phases.count("intent") == phases.count("outcome") > 0


def test_below_the_reserve_payments_are_stored_and_no_new_order_is_taken(disk: Path) -> None:
    with FakeStripe() as account:
        home = disk / "home"
        lay_out(home, today=datetime.now(UTC).date(), program="downstream")
        settings = shop_environment(account) | {"DISK_RESERVE_MB": str(ENDLESS)}
        order, session = at_checkout(core(home, settings))
        account.pay(session)
        (event,) = account.events
        with serving(home, settings) as served:
            form = {"Content-Type": "application/x-www-form-urlencoded", "Host": "stories.example"}
            refused = served.ask("POST", "/", b"title=Kept&text=The+heron+came+down", form)
            told = served.tell(event)

    assert told.status == 200
    assert jobs(home) == {order.stream_id: ["pending"]}
    assert refused.status == 503
    assert "We take no new orders at the moment" in refused.text
    assert "The heron came down" in refused.text
