"""``downstream backup restic``: the same backup, kept by the restic program in a repository elsewhere.

Where the repository is and its password come from the environment or ``.env`` (RESTIC_REPOSITORY, RESTIC_PASSWORD or
RESTIC_PASSWORD_FILE, and what its service wants); they are never on a command line and in no log. What restic says of
an error is shown without them. Options and exit codes: https://restic.readthedocs.io/en/stable/ (0.14).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from downstream.backup.folder import Made, remember, write
from downstream.backup.manifest import ITS_HASH
from downstream.domain.errors import Misconfigured, TryAgain
from downstream.files import private_folder
from downstream.locks import Lock
from downstream.settings import Secret, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

TAG = "downstream"
_WHERE = ("RESTIC_REPOSITORY", "RESTIC_REPOSITORY_FILE")
_PASSWORD = ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND")
_OURS = {each.name.upper() for each in fields(Settings) if isinstance(each.default, Secret)}
"""Keys that are none of restic's business."""
_HINTS = {
    "Is there a repository": "there is no repository yet, or its place is wrong: restic init",
    "wrong password": "RESTIC_PASSWORD is not the repository's",
    "already locked": "another restic works on the repository, or one died: restic unlock",
    "no matching ID": "there is no such snapshot: restic snapshots",
}
"""What stands in restic's error, and the next step."""


@dataclass(frozen=True, slots=True)
class Restic:
    """The restic program on one repository."""

    environment: Mapping[str, str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Restic:
        """As the environment says.

        Raises:
            Misconfigured: the program or a setting is missing.
        """
        if shutil.which("restic", path=environment.get("PATH")) is None:
            raise Misconfigured("there is no restic program here: apt install restic")
        for names in (_WHERE, _PASSWORD):
            if not any(environment.get(name) for name in names):
                raise Misconfigured(f"{' or '.join(names[:2])} is not set: put it into .env")
        return cls({name: value for name, value in environment.items() if name not in _OURS})

    def run(self, *arguments: str, folder: Path | None = None, lock: Lock | None = None) -> bytes:
        """What restic wrote, when all went well. It holds ``lock`` also when this process is killed meanwhile.

        Raises:
            Misconfigured: it did not; the text is its own last words and the next step.
        """
        ended = subprocess.run(  # noqa: S603 - the operator's own program, no shell
            ["restic", *arguments],  # noqa: S607 - found in the operator's PATH
            cwd=folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(lock.fileno(),) if lock else (),
            check=False,
        )
        if ended.returncode:
            raise Misconfigured(self._what_is_wrong(arguments[0], ended.returncode, ended.stderr))
        return ended.stdout

    def _what_is_wrong(self, command: str, code: int, said: bytes) -> str:
        text = said.decode(errors="replace")
        for sign, next_step in _HINTS.items():
            if sign in text:
                return f"restic {command}: {next_step}"
        words = [line for line in text.splitlines() if line.strip()][-1:]
        return f"restic {command} ended with {code}: {self._without_secrets(' '.join(words))}"

    def _without_secrets(self, text: str) -> str:
        for name, value in self.environment.items():
            if name.startswith(("RESTIC_REPOSITORY", "RESTIC_PASSWORD")) or re.search(r"KEY|SECRET|TOKEN|PASS", name):
                text = text.replace(value, f"({name})") if len(value) >= 4 else text
        return re.sub(r"//[^/@\s]+@", "//", text)[:300]


def back_up(
    home: Path,
    environment: Mapping[str, str],
    *,
    keep: int,
    with_secrets: bool,
    now: datetime,
    advanced: Callable[[int, int], None] = lambda _, __: None,
) -> Made:
    """A new snapshot in the repository is a whole backup, and was looked at there; of this machine ``keep`` stay.

    Raises:
        Misconfigured: the program, the repository or the password is missing or wrong; nothing half-done counts.
        TryAgain: another run makes a backup.
        OSError: there is no room here for the small files.
    """
    restic = Restic.of(environment)
    restic.run("cat", "config")  # no repository, no copying
    place = private_folder(home / ".backup")
    lock = Lock.take(place / ".lock")
    if lock is None:
        raise TryAgain("another run hands a backup to restic")
    # Always the same folder: restic takes the snapshot before of the same path for what is known already.
    staging = place / "restic"
    with lock:
        shutil.rmtree(staging, ignore_errors=True)
        private_folder(staging)
        try:
            made = write(home, staging, now, with_secrets=with_secrets, link_sources=True, advanced=advanced)
            snapshot = _hand_over(restic, staging, lock)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        # Without --prune nothing that a snapshot names is touched; it frees the room of those that are dropped.
        restic.run("forget", "--tag", TAG, "--keep-last", str(keep), "--prune")
    remember(home, "restic", now)
    return Made(snapshot, made.manifest, made.linked_bytes, made.found)


def _hand_over(restic: Restic, staging: Path, lock: Lock) -> str:
    """The staged backup is a snapshot whose manifest came back as it went, in a repository that is whole."""
    said = restic.run("backup", "--json", "--tag", TAG, "--ignore-ctime", ".", folder=staging, lock=lock)
    snapshot = str(json.loads(said.splitlines()[-1])["snapshot_id"])
    restic.run("check")
    if restic.run("dump", snapshot, f"/{ITS_HASH}") != (staging / ITS_HASH).read_bytes():
        raise Misconfigured(f"snapshot {snapshot} does not hold what was handed over; run the backup again")
    return snapshot


def fetch(environment: Mapping[str, str], snapshot: str, folder: Path) -> None:
    """The backup in that snapshot (or ``latest``) lies in ``folder``, as restic itself has verified.

    Raises:
        Misconfigured: there is none, or it cannot be read.
    """
    restic = Restic.of(environment)
    if snapshot == "latest":
        found: list[dict[str, Any]] = json.loads(restic.run("snapshots", "--json", "--tag", TAG)) or []
        if not found:
            raise Misconfigured("the repository holds no backup of DownStream")
        snapshot = str(max(found, key=lambda one: one["time"])["id"])
    restic.run("restore", snapshot, "--target", str(folder), "--verify")
