"""``downstream restore``: checked before anything is put in place, paused, and held where it may have gone on."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from business import NOW, ORDERS, add_order, snapshot, write
from conftest import environment
from disks import disk_of

from downstream.backup.folder import back_up, backups
from downstream.backup.manifest import FILES, MANIFEST
from downstream.backup.restore import from_folder, restore
from downstream.domain.errors import Misconfigured, Paused
from downstream.heartbeat import read_heartbeat
from downstream.holds import DISPUTED, OPERATOR, REFUNDED, RESTORED, Hold, find_hold, held_orders, hold, let_go
from downstream.installation import lay_out
from downstream.shop.watch import is_due

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LATER = NOW + timedelta(days=3)


@pytest.fixture
def place(business: Path, tmp_path: Path) -> Path:
    """The place of a backup of the business."""
    back_up(business, tmp_path / "backups", keep=14, with_secrets=False, now=NOW)
    return tmp_path / "backups"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new"


def restored(place: Path, target: Path, *, resume: bool = False) -> str:
    return "\n".join(restore(target, from_folder(place), {}, resume=resume, now=LATER))


def test_everything_is_there_again_for_its_owner_alone(place: Path, business: Path, target: Path) -> None:
    restored(place, target)

    new, copied = snapshot(target), snapshot(backups(place)[0] / FILES)
    del copied["HEARTBEAT.md"]
    assert {name: new[name] for name in copied} == copied
    extra = {name for name in new.keys() - copied.keys() if not name.startswith("jobs/.holds/")}
    assert extra == {"HEARTBEAT.md", "jobs/.restored"}
    assert str((target / "streams/order-review/public").readlink()) == "page"
    found = [path for path in target.rglob("*") if not path.is_symlink()]
    assert {(path.is_dir(), oct(path.stat().st_mode & 0o777)) for path in found} == {(True, "0o700"), (False, "0o600")}
    story = "streams/order-review/input.json"
    assert (target / story).stat().st_mtime_ns == (business / story).stat().st_mtime_ns


def test_the_heartbeat_is_paused_and_says_why(place: Path, target: Path) -> None:
    restored(place, target)

    with pytest.raises(Paused, match="restored from the backup of 2026-11-24T10:20:00"):
        read_heartbeat(target, LATER).require_running()


def test_what_may_have_gone_on_is_held_and_so_is_what_waits_for_it(business: Path, place: Path, target: Path) -> None:
    hold(business, Hold("order-review", OPERATOR, "the customer rang", NOW.isoformat()))
    hold(business, Hold("order-pending", REFUNDED, "its payment is refunded", NOW.isoformat()))
    write(business / "streams/order-paid/order.json", '{"no job": "yet"}')
    back_up(business, place, keep=14, with_secrets=False, now=NOW + timedelta(hours=1))

    said = restored(place, target)

    held = {"order-pending", "order-processing", "order-review", "order-failed", "order-paid"}
    assert set(held_orders(target)) == held
    found = {stream_id: find_hold(target, stream_id) for stream_id in held}
    assert {one.kind for one in found.values() if one} == {RESTORED}
    assert "order-processing  (processing)" in said
    assert "order-failed  (failed)" in said  # its refund waits
    assert "order-completed  (" not in said
    # What held it before holds it again.
    first = let_go(target, "order-review")
    assert first is not None
    assert "restored from a backup of 2026-11-24T11:20:00+00:00; was it delivered since?" in first.reason
    assert find_hold(target, "order-review") == Hold("order-review", OPERATOR, "the customer rang", NOW.isoformat())
    let_go(target, "order-pending")
    assert find_hold(target, "order-pending") == Hold(
        "order-pending", REFUNDED, "its payment is refunded", NOW.isoformat()
    )


def test_a_hold_that_comes_later_lies_below_and_stands_when_the_other_is_let_go(place: Path, target: Path) -> None:
    restored(place, target)

    assert hold(target, Hold("order-review", DISPUTED, "the bank", NOW.isoformat()))
    assert not hold(target, Hold("order-review", DISPUTED, "the bank", NOW.isoformat()))

    held = find_hold(target, "order-review")
    assert held is not None
    assert (held.kind, held.kinds) == (RESTORED, {RESTORED, DISPUTED})
    let_go(target, "order-review")
    assert find_hold(target, "order-review") == Hold("order-review", DISPUTED, "the bank", NOW.isoformat())


def test_after_a_planned_move_nothing_is_held(
    business: Path, place: Path, target: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with pytest.raises(Misconfigured, match="worked while the backup was made"):
        restored(place, target, resume=True)
    assert not target.exists()
    run("heartbeat", "pause")
    back_up(business, place, keep=14, with_secrets=False, now=NOW + timedelta(hours=1))

    said = restored(place, target, resume=True)

    assert held_orders(target) == []
    assert not (target / "jobs/.restored").exists()
    assert "Nothing is held" in said


def test_it_says_what_is_missing_and_what_comes_next(place: Path, business: Path, target: Path) -> None:
    said = restored(place, target)

    assert f"{target} is restored from the backup of 2026-11-24T10:20:00+00:00 ({business.resolve()})" in said
    assert "GOOGLE_AI_API_KEY, REPLICATE_API_TOKEN, VERCEL_TOKEN, SMTP_URL, STRIPE_API_KEY" in said
    assert f"downstream --home {target} reconcile --days 5" in said
    assert f"downstream --home {target} release ID" in said
    assert f"crontab.txt was of {business.resolve()}" in said


def test_payments_are_compared_as_soon_as_it_works_again(business: Path, place: Path, target: Path) -> None:
    write(business / "jobs/.reconcile.begun", "")
    back_up(business, place, keep=14, with_secrets=False, now=NOW + timedelta(hours=1))

    restored(place, target)

    assert is_due(target)


def test_alarms_of_the_past_and_pauses_of_services_are_not_taken_along(place: Path, target: Path) -> None:
    restored(place, target)

    assert not (target / "logs/outbox").exists()
    assert not (target / "jobs/.limits").exists()


def test_a_new_installation_takes_it_in_and_keeps_its_own_keys_and_crontab(place: Path, target: Path) -> None:
    lay_out(target, today=NOW.date(), program="new-program")
    (target / ".env").write_text("SMTP_URL=x")

    said = restored(place, target)

    assert "new-program" in (target / "crontab.txt").read_text()
    assert (target / ".env").read_text() == "SMTP_URL=x"
    assert (target / "jobs/review/order-review.json").exists()
    assert "Kept as they were here, not as in the backup: crontab.txt" in said
    assert not (target / ".restore").exists()


@pytest.mark.parametrize("own", ["jobs/failed/x.json", "streams/x/input.json", "logs/ledger/2026-11.jsonl"])
def test_an_installation_with_orders_is_left_alone(place: Path, target: Path, own: str) -> None:
    lay_out(target, today=NOW.date(), program="downstream")
    write(target / own, "{}")
    before = snapshot(target)

    with pytest.raises(Misconfigured, match="has orders of its own"):
        restored(place, target)

    assert snapshot(target) == before


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: flip(folder / FILES / "streams/order-review/clips/01.mp4"), "order-review/clips/01.mp4"),
        (lambda folder: flip(folder / FILES / "jobs/completed/order-completed.json"), "order-completed.json"),
        (lambda folder: (folder / FILES / "streams/order-review/receipts.jsonl").unlink(), "review/receipts.jsonl"),
        (lambda folder: shutil.rmtree(folder / FILES / "logs"), "logs/"),
        (lambda folder: flip(folder / MANIFEST), MANIFEST),
        (lambda folder: os.truncate(folder / MANIFEST, 500), MANIFEST),
        (lambda folder: os.truncate(folder / MANIFEST, 0), MANIFEST),
        (lambda folder: (folder / MANIFEST).unlink(), MANIFEST),
        (lambda folder: (folder / "manifest.sha256").unlink(), "manifest.sha256"),
    ],
)
def test_a_damaged_backup_is_refused_by_the_name_of_the_file_and_nothing_is_written(
    place: Path, target: Path, damage: Callable[[Path], None], named: str
) -> None:
    damage(backups(place)[0])

    with pytest.raises(Misconfigured) as refused:
        restored(place, target)

    assert named in str(refused.value)
    assert not target.exists()


def test_the_command_says_which_file_is_damaged(
    place: Path, target: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    flip(backups(place)[0] / FILES / "HEARTBEAT.md")

    ended = run("restore", str(place), "--to", str(target))

    assert (ended.returncode, ended.stdout) == (6, "")
    assert ended.stderr == (
        f"stopped: {backups(place)[0]}/files/HEARTBEAT.md is not what was written: "
        "the backup is damaged, take another one\n"
    )
    assert not target.exists()


def test_on_a_full_disk_nothing_is_restored(
    business: Path, place: Path, tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (business / "streams/order-review/clips/02.mp4").write_bytes(bytes(6_000_000))
    back_up(business, place, keep=14, with_secrets=False, now=NOW + timedelta(hours=1))
    with disk_of(tmp_path / "disk", 4) as disk:
        ended = run("restore", str(place), "--to", str(disk / "new"))

        assert ended.returncode == 6
        assert "No space left on device" in ended.stderr
        assert list(disk.iterdir()) == []


def test_a_manifest_that_leads_out_of_the_installation_is_refused(place: Path, target: Path) -> None:
    from downstream.backup.manifest import Entry, read_manifest, write_manifest

    folder = backups(place)[0]
    manifest = read_manifest(folder)
    manifest.files["../outside"] = Entry(0, "0" * 64)
    write_manifest(folder, manifest)

    with pytest.raises(Misconfigured, match="cannot be put anywhere"):
        restored(place, target)


def test_a_folder_without_a_backup_is_told_of(tmp_path: Path, target: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(Misconfigured, match="no whole backup"):
        restored(tmp_path / "empty", target)
    with pytest.raises(Misconfigured, match="is no folder"):
        restored(tmp_path / "nowhere", target)


def test_killed_at_any_moment_it_has_restored_nothing_or_is_carried_on(
    business: Path, tmp_path: Path, target: Path
) -> None:
    dice = random.Random(3)
    for number in range(40):
        add_order(business, f"more-{number}", "completed")
        (business / f"streams/more-{number}/clips/02.mp4").write_bytes(dice.randbytes(200_000))
    place = tmp_path / "backups"
    back_up(business, place, keep=14, with_secrets=False, now=NOW)
    whole = restored(place, tmp_path / "whole")
    script = (
        "import sys; from datetime import datetime; from pathlib import Path\n"
        "import downstream.backup.restore as it\n"
        "def waiting(name):\n"
        "    do = getattr(it, name)\n"
        "    def wrapped(*given, **more):\n"
        "        print(name, flush=True); sys.stdin.readline(); return do(*given, **more)\n"
        "    setattr(it, name, wrapped)\n"
        "[waiting(name) for name in ('_settle', '_put_in_place', 'sync_folder')]\n"
        "now = datetime.fromisoformat(sys.argv[3])\n"
        "it.restore(Path(sys.argv[2]), it.from_folder(Path(sys.argv[1])), {}, resume=False, now=now)\n"
    )
    seen = []
    for steps in range(14):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(place), str(target), LATER.isoformat()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        ) as process:
            assert process.stdin
            assert process.stdout
            for _ in range(steps):
                if not process.stdout.readline():
                    break  # it came to its end
                process.stdin.write("\n")
                process.stdin.flush()
            time.sleep(dice.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        seen.append((target / "jobs").exists())
        if (target / "jobs").exists():
            # Jobs come last, and with everything in its place.
            assert (target / "jobs/review/order-review.json").exists()
            assert (target / "streams/order-review/input.json").exists()
            assert len(held_orders(target)) == 4
            break

    if (target / ".restore").exists():
        assert restored(place, target).splitlines()[1:] == whole.replace("whole", "new").splitlines()[1:]

    assert seen[:3] == [False, False, False]
    assert seen[-1]
    names = set(snapshot(target)) - {".restore.lock"}
    assert {name for name in names if not name.startswith(".restore")} == set(snapshot(tmp_path / "whole"))
    assert set(ORDERS) <= {path.stem for path in target.glob("jobs/[a-z]*/*.json")}
    assert json.loads((target / "jobs/.restored").read_bytes())["backup_at"] == "2026-11-24T10:20:00+00:00"
