"""A Debian of its own in a folder: what ``setup_hetzner.sh`` is run in.

Commands run in it by chroot, in mount and process namespaces of their own, so that nothing of theirs is left when they
end. The network is this machine's: packages come from wherever this machine takes its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parent.parent.parent
HOME = "/opt/downstream"
_PACKAGES = "systemd,systemd-sysv,dbus,ca-certificates,iproute2,openssh-server,procps"
"""What a Debian server has before anybody has done anything to it."""
_TIMEOUT_SECONDS = 800
_MOVING = ("proc", "sys", "dev", "run", "tmp", "var/cache", "var/log", "var/lib/apt/lists", "opt/downstream/logs")
"""What changes by itself, or is a cache."""

_ENTER = """
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
for folder in $2; do mkdir -p "$1$folder" && mount --bind "$folder" "$1$folder"; done
root=$1; shift 2
exec chroot "$root" "$@"
"""


@dataclass(frozen=True)
class Tree:
    """The Debian below ``root``."""

    root: Path

    @property
    def home(self) -> Path:
        """The installation, seen from outside."""
        return self.root / HOME.lstrip("/")

    def command(self, *command: str) -> list[str]:
        """``command`` as it is started in the tree, by root; whatever it starts ends with it."""
        namespaces = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        return [*namespaces, "sh", "-ec", _ENTER, "enter", str(self.root), " ".join(_package_folders()), *command]

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """What came of a command; its output is in one piece."""
        ended = subprocess.run(
            self.command(*command),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        assert not check or ended.returncode == 0, f"{command} ended with {ended.returncode}:\n{ended.stdout}"
        return ended

    def setup(self, *arguments: str) -> str:
        """``setup_hetzner.sh`` was run; what it said."""
        return self.run(f"{HOME}/setup_hetzner.sh", *arguments).stdout

    def manifest(self) -> dict[str, str]:
        """Every path to what it is: kind, mode, owner; of a file also its content and when it was changed."""
        return dict(self._described(self.root))

    def _described(self, folder: Path) -> Iterator[tuple[str, str]]:
        for path in sorted(folder.iterdir()):
            name = str(path.relative_to(self.root))
            if name not in _MOVING:
                yield name, _described(path)
                if path.is_dir() and not path.is_symlink():
                    yield from self._described(path)


def build(root: Path, release: str) -> Tree:
    """A fresh Debian of that ``release``, with the project's files in ``/opt/downstream``, root's, and nothing else."""
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}", release, str(root)], check=True
    )
    for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt"):
        if Path(path).exists():
            shutil.copyfile(path, root / path.lstrip("/"))
    certificates = Path("/usr/local/share/ca-certificates")
    if certificates.is_dir():
        shutil.copytree(certificates, root / "usr/local/share/ca-certificates", dirs_exist_ok=True)
    # Otherwise installing a daemon would start it, in a tree where nothing looks after it.
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    tree = Tree(root)
    copy_project(tree)
    tree.run("true")  # makes the folders that are mounted
    return tree


def copy_project(tree: Tree) -> None:
    """The files of this checkout, as a clone would have them."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (PROJECT / name).is_file():
            target = tree.home / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, target)


def _described(path: Path) -> str:
    found = path.lstat()
    about = f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid}"
    if stat.S_ISLNK(found.st_mode):
        return f"{about} -> {path.readlink()}"
    if stat.S_ISREG(found.st_mode):
        return f"{about} {found.st_mtime_ns} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return about


def _environment() -> dict[str, str]:
    """What a shell of root's has, with the settings of pip and of proxies."""
    passed = {name: value for name, value in os.environ.items() if re.match(r"(?i)pip_|.*_proxy$", name)}
    return {**passed, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}


def _package_folders() -> list[str]:
    """Folders of this machine that pip takes packages from."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, text=True, check=True
    )
    named = re.findall(r"(?:file://|(?<=['\s]))(/[\w./-]+)", told.stdout)
    return sorted({name for name in named if Path(name).is_dir()})
