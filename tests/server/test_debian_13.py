"""Debian 13, with a newer Python, sshd and systemd: the script runs twice, and an order is made."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.conftest import SetUp

RELEASE = "trixie"


def test_it_is_set_up_and_a_second_run_changes_nothing(setup: SetUp) -> None:
    assert "VERSION_CODENAME=trixie" in (setup.tree.root / "etc/os-release").read_text()
    assert setup.after_rehearsal == setup.bare
    assert setup.after_second == setup.after_first
    assert "ok    cron          the lines of crontab.txt are installed" in setup.first
    assert not re.search("^FAIL", setup.first, re.MULTILINE)


def test_systemd_and_the_proxy_take_what_was_written(setup: SetUp) -> None:
    verified = setup.tree.run("systemd-analyze", "verify", "/etc/systemd/system/downstream.service", check=False)
    assert (verified.returncode, verified.stdout) == (0, "")
    assert '"dial":"127.0.0.1:8000"' in setup.tree.run("caddy", "adapt", "--config", "/etc/caddy/Caddyfile").stdout


def test_an_order_is_made(setup: SetUp) -> None:
    tree = setup.tree
    job = tree.home / "jobs" / "pending" / "test.json"
    job.write_text(json.dumps({"stream_id": "test", "customer_email": "test@test.com"}))
    tree.run("chown", "downstream:", "/opt/downstream/jobs/pending/test.json")

    with (tree.home / ".env").open("a") as settings:
        settings.write("CLIP_WIDTH=320\nCLIP_HEIGHT=180\n")  # small pictures: how they look is not the question here

    tree.run("downstream", "process")
    tree.run("downstream", "review")

    assert (tree.home / "jobs" / "completed" / "test.json").exists()
    assert (tree.home / "streams" / "test" / "public" / "index.html").exists()
