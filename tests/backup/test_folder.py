"""``downstream backup DIR``: whole or not at all, verified, small when little has changed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from business import NOW, ORDERS, add_order, snapshot, write
from conftest import environment
from disks import disk_of
from fakes.smtp import FakeSmtp

from downstream.backup.folder import back_up, backups, last_backup
from downstream.backup.manifest import FILES, check_files, read_manifest
from downstream.domain.errors import Misconfigured, TryAgain
from downstream.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from downstream.backup.folder import Made


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def backed_up(home: Path, place: Path, *, keep: int = 14, secrets: bool = False, hours: int = 0) -> Made:
    return back_up(home, place, keep=keep, with_secrets=secrets, now=NOW + timedelta(hours=hours))


def newest(place: Path) -> Path:
    return backups(place)[-1]


def test_a_backup_holds_everything_that_a_restore_needs_and_nothing_else(business: Path, place: Path) -> None:
    made = backed_up(business, place)

    folder = place / "2026-11-24T10-20-00Z"
    assert made.name == str(folder)
    names = set(read_manifest(folder).files)
    assert names == {
        *(f"jobs/{state}/{stream_id}.json" for stream_id, state in ORDERS.items()),
        *(
            f"streams/{stream_id}/{name}"
            for stream_id in ORDERS
            for name in ("input.json", "receipts.jsonl", "clips/01.mp4", "page/index.html", "public")
        ),
        "jobs/failed/no job.json",
        "jobs/failed/no job.json.reason.txt",
        "jobs/.errands/order-failed.refund.json",
        "streams/.drafts/draft-1.json",
        "streams/.payments/pi_1",
        "logs/ledger/2026-11.jsonl",
        "logs/reviews/daily-2026-11-23.md",
        "logs/alerts.json",
        "triggers/daily-2026-11-23.done",
        "HEARTBEAT.md",
        "crontab.txt",
    }
    lying_there = {str(path.relative_to(folder / FILES)) for path in (folder / FILES).rglob("*") if not path.is_dir()}
    assert lying_there == {name for name in names if not name.endswith("/public")}
    check_files(folder / FILES, read_manifest(folder))
    assert read_manifest(folder).settings == ("STRIPE_API_KEY",)
    assert made.found == []


def test_only_whole_lines_of_a_growing_file_are_copied(business: Path, place: Path) -> None:
    backed_up(business, place)

    assert (newest(place) / FILES / "logs/ledger/2026-11.jsonl").read_text() == '{"what": "reserved"}\n'


def test_keys_are_in_it_only_when_they_are_asked_for(business: Path, place: Path) -> None:
    backed_up(business, place)
    assert b"sk_test_planted" not in b"".join(snapshot(newest(place)).values())

    backed_up(business, place, secrets=True, hours=1)
    assert (newest(place) / FILES / ".env").read_bytes() == (business / ".env").read_bytes()


def test_what_has_not_changed_is_linked_to_the_backup_before(business: Path, place: Path) -> None:
    first = backed_up(business, place)
    write(business / "streams/order-review/clips/02.mp4", "a new clip")
    (business / "streams/order-review/page/index.html").write_text("a new page")

    second = backed_up(business, place, hours=1)

    old, new = (path / FILES for path in backups(place))
    assert (old / "streams/order-review/clips/01.mp4").samefile(new / "streams/order-review/clips/01.mp4")
    assert (new / "streams/order-review/page/index.html").read_text() == "a new page"
    assert (old / "streams/order-review/page/index.html").read_text() == "the page of order-review"
    assert first.linked_bytes == 0
    assert 0 < second.linked_bytes < second.manifest.size_bytes
    check_files(new, read_manifest(new.parent))


def test_a_copy_that_has_rotted_in_the_backup_before_is_made_anew(business: Path, place: Path) -> None:
    backed_up(business, place)
    rotten = newest(place) / FILES / "streams/order-review/clips/01.mp4"
    found = rotten.stat()
    rotten.write_bytes(b"X" * found.st_size)
    os.utime(rotten, ns=(found.st_mtime_ns, found.st_mtime_ns))

    backed_up(business, place, hours=1)

    check_files(newest(place) / FILES, read_manifest(newest(place)))
    assert (newest(place) / FILES / "streams/order-review/clips/01.mp4").read_text() == "a clip of order-review"


def test_the_newest_stay_and_the_new_one_always_does(business: Path, place: Path) -> None:
    for hours in range(4):
        backed_up(business, place, keep=2, hours=hours)
    assert [path.name for path in backups(place)] == ["2026-11-24T12-20-00Z", "2026-11-24T13-20-00Z"]

    backed_up(business, place, keep=1, hours=4)

    assert [path.name for path in place.iterdir() if path.name[0] != "."] == ["2026-11-24T14-20-00Z"]
    check_files(newest(place) / FILES, read_manifest(newest(place)))


def test_two_in_one_second_are_two(business: Path, place: Path) -> None:
    backed_up(business, place)
    backed_up(business, place)

    assert [path.name for path in backups(place)] == ["2026-11-24T10-20-00Z", "2026-11-24T10-20-01Z"]


def test_after_the_clock_was_set_back_the_newest_is_still_the_newest(business: Path, place: Path) -> None:
    backed_up(business, place)
    write(business / "streams/order-review/clips/02.mp4", "a new clip")

    made = backed_up(business, place, keep=1, hours=-48)

    assert [path.name for path in backups(place)] == ["2026-11-24T10-20-01Z"]
    assert "streams/order-review/clips/02.mp4" in read_manifest(newest(place)).files
    assert made.manifest.at == "2026-11-22T10:20:00+00:00"


def test_two_at_once_do_not_get_in_each_others_way(business: Path, place: Path) -> None:
    place.mkdir()
    with Lock.wait(place / ".lock"), pytest.raises(TryAgain, match="another backup"):
        backed_up(business, place)

    assert backups(place) == []


def test_no_backup_of_a_backup(business: Path) -> None:
    with pytest.raises(Misconfigured, match="lies in streams/"):
        backed_up(business, business / "streams" / "backups")


def test_an_event_that_may_not_be_carried_out_yet_is_left_to_be_asked_for_again(business: Path, place: Path) -> None:
    write(business / "logs/stripe/2026-11/evt_old.json", "{}")
    (business / "logs/stripe/2026-11/evt_young.json").write_text("{}")

    names = backed_up(business, place).manifest.files

    assert "logs/stripe/2026-11/evt_old.json" in names
    assert "logs/stripe/2026-11/evt_young.json" not in names


def test_what_is_forgotten_while_it_is_copied_is_left_out(business: Path, place: Path) -> None:
    forgotten = {"stream_id": "order-completed", "status": "done"}
    (business / "logs/forgotten").mkdir()
    (business / "logs/forgotten/order-completed.json").write_text(json.dumps(forgotten))

    names = backed_up(business, place).manifest.files

    assert not [name for name in names if "order-completed" in name and not name.startswith("logs/forgotten/")]
    assert "logs/forgotten/order-completed.json" in names
    assert not (newest(place) / FILES / "streams/order-completed/input.json").exists()


def test_what_is_wrong_with_the_business_is_said_and_copied_all_the_same(business: Path, place: Path) -> None:
    stream = "streams/order-review"
    (business / "streams/order-review/page/index.html").write_text("somebody changed it")
    (business / "streams/order-completed/production.json").write_text("{")
    twice = business / "jobs/completed/order-review.json"
    twice.write_bytes((business / "jobs/review/order-review.json").read_bytes())

    made = backed_up(business, place)

    assert made.found == [
        "the job order-review lies in 2 folders",
        "streams/order-completed/production.json is not JSON",
        f"{stream}: 1 file(s) of its page are not as they were made, as {stream}/page/index.html",
    ]
    check_files(newest(place) / FILES, read_manifest(newest(place)))


def test_links_that_lead_out_of_their_folder_are_not_taken(business: Path, place: Path) -> None:
    (business / "streams/order-review/elsewhere").symlink_to("/etc/passwd")
    (business / "jobs/pending/link.json").symlink_to("order-pending.json")

    names = backed_up(business, place).manifest.files

    assert "streams/order-review/elsewhere" not in names
    assert "jobs/pending/link.json" not in names


def test_the_command_is_quiet_and_the_doctor_knows(
    business: Path, place: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert "none was ever made" in run("doctor", "--offline").stdout

    ended = run("backup", str(place))

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert last_backup(business) is not None
    (event,) = map(json.loads, (business / "logs/keeping.log").read_text().splitlines())
    assert (event["event"], event["kind"], event["wrong"]) == ("backup.made", "folder", 0)
    assert "ok    backup        the last one is of" in run("doctor", "--offline").stdout
    write(business / "logs/.backup", '{"at": "2026-01-01T00:00:00+00:00", "kind": "folder"}')
    assert "warn  backup        the last one is of 2026-01-01 00:00 UTC → downstream backup" in (
        run("doctor", "--offline").stdout
    )


def test_a_full_disk_is_told_of_and_nothing_half_done_stays(
    business: Path, tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with disk_of(tmp_path / "disk", 4) as disk:
        assert run("backup", str(disk)).returncode == 0
        (business / "streams/order-review/clips/02.mp4").write_bytes(os.urandom(6_000_000))

        ended = run("backup", str(disk))

        assert ended.returncode == 6
        assert "No space left on device" in ended.stderr
        assert len(backups(disk)) == 1
        assert [path.name for path in disk.iterdir() if path.name.endswith(".unfinished")] == []
        (business / "streams/order-review/clips/02.mp4").unlink()
        assert run("backup", str(disk)).returncode == 0
        assert len(backups(disk)) == 2


def test_that_no_backup_was_made_is_mailed_once_and_so_is_that_it_is_over(
    business: Path, place: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (business / "logs/outbox/1.json").unlink()
    with FakeSmtp() as smtp:
        mailing = {"SMTP_URL": smtp.url, "SSL_CERT_FILE": str(smtp.authority), "OPERATOR_EMAIL": "me@example.com"}
        in_the_way = business.parent / "a file"
        in_the_way.write_text("")

        codes = [run("backup", str(in_the_way), **mailing).returncode for _ in range(2)]
        codes.append(run("backup", str(place), **mailing).returncode)

        assert codes == [6, 6, 0]
        told = [str(letter.message.get_content()) for letter in smtp.letters]
        assert len(told) == 2
        assert "no backup was made" in told[0]
        assert "all clear: a backup was made" in told[1]


def test_killed_at_any_moment_it_leaves_nothing_that_counts_as_one(business: Path, place: Path) -> None:
    dice = random.Random(11)
    for number in range(40):
        add_order(business, f"more-{number}", "completed")
        (business / f"streams/more-{number}/clips/02.mp4").write_bytes(dice.randbytes(200_000))
    before = snapshot(business)
    script = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from downstream.backup.folder import back_up\n"
        "print('begun', flush=True)\n"
        "while True: back_up(Path(sys.argv[1]), Path(sys.argv[2]), keep=3, with_secrets=False, now=datetime.now(UTC))\n"
    )
    cut_off = 0
    for _ in range(12):
        command = [sys.executable, "-c", script, str(business), str(place)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
            assert process.stdout
            process.stdout.readline()
            time.sleep(dice.uniform(0.0, 0.4))
            process.send_signal(signal.SIGKILL)
        with suppress(FileNotFoundError):
            cut_off += any(path.name.endswith(".unfinished") for path in place.iterdir())
            for folder in backups(place):
                check_files(folder / FILES, read_manifest(folder))

    backed_up(business, place, keep=3)

    assert cut_off > 0
    assert [path.name for path in place.iterdir() if path.name.endswith(".unfinished")] == []
    assert snapshot(business).keys() - {"logs/.backup"} == before.keys()


def test_the_proof_of_what_is_being_forgotten_goes_along(business: Path, place: Path) -> None:
    forgotten = {"stream_id": "order-completed", "status": "begun"}
    write(business / "logs/forgotten/order-completed.json", json.dumps(forgotten))

    names = backed_up(business, place).manifest.files

    assert {"logs/forgotten/order-completed.json", "jobs/completed/order-completed.json"} <= names.keys()
