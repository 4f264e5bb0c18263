"""``downstream backup restic`` and back, with the real restic program and a repository on this disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from business import snapshot
from conftest import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

PASSWORD = "planted-restic-password"  # noqa: S105 - obviously none


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """Where the repository is, for the environment."""
    return {
        "RESTIC_REPOSITORY": str(tmp_path / "repository-of-planted-place"),
        "RESTIC_PASSWORD": PASSWORD,
        "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
    }


def restic(settings: dict[str, str], *arguments: str) -> str:
    """What the program itself says."""
    command = ["restic", *arguments]
    return subprocess.run(
        command, env=environment(**settings), capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    ).stdout


def test_the_way_there_and_back(business: Path, tmp_path: Path, run: Run, settings: dict[str, str]) -> None:
    restic(settings, "init")
    for _ in range(3):
        ended = run("backup", "restic", "--keep", "2", **settings)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    (business / "jobs/pending/order-pending.json").unlink()
    shots = json.loads(restic(settings, "snapshots", "--json"))
    assert len(shots) == 2

    ended = run("restore", "restic", "--to", str(tmp_path / "new"), **settings)

    assert ended.returncode == 0, ended.stderr
    assert "1 pending, 1 processing, 1 review, 1 completed, 1 failed; 1 draft(s)" in ended.stdout
    was, there = (
        snapshot(business / "streams" / "order-review"),
        snapshot(tmp_path / "new" / "streams" / "order-review"),
    )
    assert there == {name: data for name, data in was.items() if "lock" not in name and not name.endswith(".tmp")}
    clip = Path("streams/order-review/clips/01.mp4")
    assert (tmp_path / "new" / clip).stat().st_mtime_ns == (business / clip).stat().st_mtime_ns
    assert not (business / ".backup" / "restic").exists()
    older = run("restore", "restic", "--to", str(tmp_path / "older"), "--snapshot", shots[0]["id"], **settings)
    assert older.returncode == 0, older.stderr


def test_what_is_never_written_to_again_is_handed_over_without_a_copy(
    business: Path, run: Run, settings: dict[str, str], tmp_path: Path
) -> None:
    restic(settings, "init")
    tools = tmp_path / "tools"
    tools.mkdir()
    script = tools / "restic"
    script.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/called\n'
        f'[ "$1" = backup ] && ls -i files/streams/order-review/clips/01.mp4 >{tmp_path}/inode\n'
        f'exec {shutil.which("restic")} "$@"\n'
    )
    script.chmod(0o700)
    path = {"PATH": f"{tools}:{os.environ['PATH']}"}

    assert run("backup", "restic", **settings, **path).returncode == 0

    clip = business / "streams/order-review/clips/01.mp4"
    assert (tmp_path / "inode").read_text().split()[0] == str(clip.stat().st_ino)
    assert clip.stat().st_nlink == 1
    called = (tmp_path / "called").read_text()
    assert [line.split()[0] for line in called.splitlines()] == ["cat", "backup", "check", "dump", "forget"]
    assert PASSWORD not in called
    assert "planted-place" not in called
    for logged in (business / "logs").rglob("*"):
        if logged.is_file():
            assert PASSWORD.encode() not in logged.read_bytes()
            assert b"planted-place" not in logged.read_bytes()


def test_killed_while_restic_works_the_next_run_waits_for_it(
    business: Path, run: Run, settings: dict[str, str], tmp_path: Path
) -> None:
    restic(settings, "init")
    tools = tmp_path / "tools"
    tools.mkdir()
    os.mkfifo(tmp_path / "go")
    script = tools / "restic"
    script.write_text(
        f'#!/bin/sh\ncd {tmp_path} || exit\n[ "$1" = backup ] && [ ! -e begun ] && touch begun && read _ <go\n'
        f'cd "$OLDPWD" && exec {shutil.which("restic")} "$@"\n'
    )
    script.chmod(0o700)
    path = {"PATH": f"{tools}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "downstream", "--home", str(business), "backup", "restic"]
    with subprocess.Popen(command, env=environment(**settings, **path)) as process:
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        process.kill()
    assert run("backup", "restic", **settings).returncode == 7

    with (tmp_path / "go").open("w") as go:
        go.write("\n")
    while run("backup", "restic", **settings).returncode == 7:
        time.sleep(0.1)

    shots = json.loads(restic(settings, "snapshots", "--json"))
    assert shots
    for number, shot in enumerate(shots):  # one that nobody waited for any more is whole, if there is one
        ended = run("restore", "restic", "--to", str(tmp_path / f"new-{number}"), "--snapshot", shot["id"], **settings)
        assert ended.returncode == 0, ended.stderr


def test_repository_and_password_may_stand_in_the_settings_file(
    business: Path, run: Run, settings: dict[str, str], tmp_path: Path
) -> None:
    restic(settings, "init")
    (tmp_path / "password").write_text(PASSWORD)
    given = {**settings, "RESTIC_PASSWORD_FILE": str(tmp_path / "password")}
    del given["RESTIC_PASSWORD"]
    (business / ".env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))

    assert run("backup", "restic").returncode == 0


def test_what_is_missing_is_said_with_the_next_step(business: Path, run: Run, settings: dict[str, str]) -> None:
    nowhere = run("backup", "restic")
    assert (nowhere.returncode, nowhere.stderr) == (
        6,
        "stopped: RESTIC_REPOSITORY or RESTIC_REPOSITORY_FILE is not set: put it into .env\n",
    )

    no_repository = run("backup", "restic", **settings)
    assert no_repository.returncode == 6
    assert "restic init" in no_repository.stderr

    restic(settings, "init")
    wrong = run("backup", "restic", **settings | {"RESTIC_PASSWORD": "another-planted-one"})
    assert wrong.returncode == 6
    assert wrong.stderr == "stopped: restic cat: RESTIC_PASSWORD is not the repository's\n"
    assert run("backup", "restic", **settings, PATH="/nowhere").stderr == (
        "stopped: there is no restic program here: apt install restic\n"
    )
    none = run("restore", "restic", "--to", str(business.with_name("new")), **settings)
    assert none.returncode == 6
    assert "holds no backup" in none.stderr
    assert not business.with_name("new").exists()


def test_an_error_of_restic_is_shown_without_its_secrets(business: Path, run: Run, settings: dict[str, str]) -> None:
    place = "rest:http://somebody:planted-secret@127.0.0.1:1/x"

    ended = run("backup", "restic", **settings | {"RESTIC_REPOSITORY": place})

    assert ended.returncode == 6
    assert "planted-secret" not in ended.stderr


def test_a_repository_that_was_damaged_is_not_restored(
    business: Path, tmp_path: Path, run: Run, settings: dict[str, str]
) -> None:
    restic(settings, "init")
    assert run("backup", "restic", **settings).returncode == 0
    for pack in (tmp_path / "repository-of-planted-place" / "data").rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            data = bytearray(pack.read_bytes())
            data[len(data) // 3] ^= 1
            pack.write_bytes(data)

    ended = run("restore", "restic", "--to", str(tmp_path / "new"), **settings)

    assert ended.returncode == 6
    assert not (tmp_path / "new").exists()
