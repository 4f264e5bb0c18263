"""A fresh Debian becomes an installation: once, again with nothing to do, upgraded, and back."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from server.conftest import DOMAIN
from server.tree import HOME, PROJECT

if TYPE_CHECKING:
    from server.conftest import SetUp
    from server.tree import Tree

FOREIGN = "# of the operator's own\n17 4 * * * /usr/local/bin/something-else\n"


def changed(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """What differs between two looks at a tree."""
    names = sorted(before.keys() | after.keys())
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def owner(tree: Tree, name: str) -> tuple[str, str]:
    """Mode and owner, as in ``("700", "downstream")``."""
    mode, user = tree.run("stat", "-c", "%a %U", f"{HOME}/{name}").stdout.split()
    return mode, user


def crontab(tree: Tree) -> str:
    return tree.run("crontab", "-u", "downstream", "-l").stdout


# --- the text ------------------------------------------------------------------------------------------------------


def test_the_scripts_are_clean() -> None:
    scripts = ["setup_hetzner.sh", "downstream/server/downstream.sh", ".ci/run", ".ci/test"]

    ended = subprocess.run(["shellcheck", *scripts], cwd=PROJECT, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (0, "")


def test_help_needs_no_rights_and_a_mistake_is_told(setup: SetUp) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        ended = setup.tree.run(*nobody, f"{HOME}/setup_hetzner.sh", *arguments, check=False)
        return ended.returncode, ended.stdout

    status, told = run("--help")
    assert status == 0
    assert told.startswith("Usage: sudo ./setup_hetzner.sh")
    assert "what is --fast?" in run("--fast")[1]
    assert "--domain needs a name" in run("--domain")[1]
    assert "is not the name of a domain" in run("--domain", "a b;c")[1]
    assert run() == (1, "setup_hetzner.sh: run it as root: sudo ./setup_hetzner.sh\n")


def test_the_service_is_well_hardened(setup: SetUp) -> None:
    unit = setup.tree.root / "etc/systemd/system/downstream.service"

    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", str(unit)], capture_output=True, text=True, check=True
    ).stdout

    figure = re.search(r"Overall exposure level for downstream.service: ([0-9.]+) (\w+)", told)
    assert figure, told
    assert float(figure[1]) <= 2.0
    assert figure[2] == "OK"


def test_systemd_takes_the_service(setup: SetUp) -> None:
    ended = setup.tree.run("systemd-analyze", "verify", "/etc/systemd/system/downstream.service", check=False)

    assert (ended.returncode, ended.stdout) == (0, "")


# --- the runs ------------------------------------------------------------------------------------------------------


def test_a_rehearsal_says_what_it_would_do_and_does_nothing(setup: SetUp) -> None:
    assert changed(setup.bare, setup.after_rehearsal) == {}
    assert "would run       apt_get install" in setup.rehearsed
    assert "would run       replace_file /etc/systemd/system/downstream.service" in setup.rehearsed
    assert setup.rehearsed.endswith("Nothing was changed.\n")


def test_a_second_run_changes_nothing(setup: SetUp) -> None:
    assert changed(setup.after_first, setup.after_second) == {}
    assert changed(setup.bare, setup.after_first) != {}


def test_a_run_ends_with_the_doctor_and_what_is_left_to_do(setup: SetUp) -> None:
    assert "ok    cron          the lines of crontab.txt are installed" in setup.first
    assert "ok    rights        folders and .env are their owner's alone" in setup.first
    assert not re.search("^FAIL", setup.first, re.MULTILINE)
    assert "Still to do:" in setup.first


def test_customers_data_is_the_services_users_alone_and_the_program_is_roots(setup: SetUp) -> None:
    tree = setup.tree
    assert {owner(tree, name) for name in ("jobs", "streams", "logs", "triggers", "jobs/pending")} == {
        ("700", "downstream")
    }
    assert owner(tree, ".env") == ("600", "downstream")
    assert owner(tree, "HEARTBEAT.md")[1] == "downstream"
    assert owner(tree, "downstream/cli.py")[1] == "root"
    assert owner(tree, ".venv/bin/downstream")[1] == "root"
    as_user = ["runuser", "-u", "downstream", "--"]
    for attack in (["rm", "-f", "setup_hetzner.sh"], ["mv", "downstream", "elsewhere"], ["rm", "-f", ".venv"]):
        ended = tree.run("sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", HOME, *as_user, *attack, check=False)
        assert ended.returncode != 0, attack
        assert "not permitted" in ended.stdout


def test_the_operators_command_works_as_the_services_user(setup: SetUp) -> None:
    tree = setup.tree

    assert "heartbeat  active" in tree.run("downstream", "status").stdout
    tree.run("downstream", "heartbeat", "pause", "--reason", "a look around")
    assert tree.run("downstream", "heartbeat", check=False).returncode == 5
    assert owner(tree, "HEARTBEAT.md")[1] == "downstream"
    tree.run("downstream", "heartbeat", "resume")
    refused = tree.run("setpriv", "--reuid=65534", "--clear-groups", "downstream", "status", check=False)
    assert "try: sudo downstream status" in refused.stdout


def test_the_proxy_takes_its_site(setup: SetUp) -> None:
    told = setup.tree.run("caddy", "adapt", "--config", "/etc/caddy/Caddyfile").stdout

    assert f'"host":["{DOMAIN}"]' in told
    assert '"dial":"127.0.0.1:8000"' in told
    assert f"PUBLIC_URL=https://{DOMAIN}" in (setup.tree.home / ".env").read_text().splitlines()


def test_the_logs_rotate_and_their_program_goes_on_writing(setup: SetUp) -> None:
    tree = setup.tree
    log = tree.home / "logs" / "processor.log"
    tree.run("runuser", "-u", "downstream", "--", "sh", "-c", f"echo '{{}}' >> {HOME}/logs/processor.log")

    tree.run("logrotate", "--force", "/etc/logrotate.d/downstream")

    assert log.with_name("processor.log.1").read_text() == "{}\n"
    assert not log.exists()


def test_other_lines_in_the_users_crontab_stay(setup: SetUp) -> None:
    tree = setup.tree
    add = '{ printf %s "$1"; crontab -u downstream -l; } | crontab -u downstream -'
    tree.run("sh", "-c", add, "add", FOREIGN)
    before = crontab(tree)

    tree.setup()

    assert crontab(tree) == before
    assert crontab(tree).startswith(FOREIGN)
    assert crontab(tree).count("/opt/downstream/.venv/bin/downstream process") == 1


def test_a_port_of_ssh_that_stands_behind_an_address_stays_open(setup: SetUp) -> None:
    tree = setup.tree
    ports = tree.root / "etc/ssh/sshd_config.d/port.conf"
    ports.parent.mkdir(parents=True, exist_ok=True)
    ports.write_text("ListenAddress 0.0.0.0:2222\nListenAddress ::1\n")

    told = tree.setup("--dry-run")  # a firewall that is on cannot be changed where there is no network
    ports.unlink()  # the runs of the tests that follow would try to open it

    assert "would run       ufw allow 2222/tcp" in told
    assert "ufw allow 1/tcp" not in told


def test_root_does_not_read_for_the_user_what_the_user_may_not(setup: SetUp) -> None:
    tree = setup.tree
    kept = (tree.home / ".env").read_text()
    tree.run("runuser", "-u", "downstream", "--", "ln", "-sf", "/etc/shadow", f"{HOME}/.env")

    tree.setup()

    assert "root:" not in (tree.home / ".env").read_text()
    assert owner(tree, ".env") == ("600", "downstream")
    (tree.home / ".env").write_text(kept)
    tree.setup()


def test_a_new_domain_is_where_links_lead_unless_the_operator_chose_an_address(setup: SetUp) -> None:
    tree = setup.tree
    tree.setup("--domain", "new.example.com")
    assert [line for line in (tree.home / ".env").read_text().splitlines() if line.startswith("PUBLIC_URL")] == [
        "PUBLIC_URL=https://new.example.com"
    ]

    (tree.home / ".env").write_text("PUBLIC_URL = https://chosen.example.com\n")
    tree.setup("--domain", DOMAIN)

    assert (tree.home / ".env").read_text() == "PUBLIC_URL = https://chosen.example.com\n"
    (tree.home / ".env").write_text(f"PUBLIC_URL=https://{DOMAIN}\n")


@pytest.fixture
def upgraded(setup: SetUp) -> str:
    """An upgrade while an old command runs, and a run of the script after it ended; what the shell saw."""
    tree = setup.tree
    (tree.home / "downstream" / "exit_codes.py").open("a").write("\nUPGRADED = True\n")
    late = 'open("/tmp/go").read(); import downstream.exit_codes as late; print("late", hasattr(late, "UPGRADED"))'
    script = f"""
cd {HOME}
old=$(readlink .venv)
mkfifo /tmp/go
{HOME}/$old/bin/python -I -c '{late}' &
running=$!
./setup_hetzner.sh
echo "link $([ "$(readlink .venv)" = "$old" ] && echo same || echo new)"
./setup_hetzner.sh
echo "old $([ -d "$old" ] && echo there || echo gone)"
echo go > /tmp/go
wait $running
.venv/bin/python -I -c 'import downstream.exit_codes as new; print("new", new.UPGRADED)'
./setup_hetzner.sh
echo "finally $([ -d "$old" ] && echo there || echo gone)"
"""
    return tree.run("bash", "-c", script).stdout


def test_an_upgrade_lets_running_commands_end_on_the_old_code(upgraded: str) -> None:
    assert "link new" in upgraded
    assert "commands still run in it; the next run removes it" in upgraded
    assert "old there" in upgraded
    assert "late False" in upgraded
    assert "new True" in upgraded
    assert upgraded.rstrip().endswith("finally gone")


def test_an_environment_that_was_cut_off_is_built_again(setup: SetUp) -> None:
    tree = setup.tree
    current = (tree.home / ".venv").readlink()
    (tree.home / current / "complete").unlink()
    (tree.home / current / "bin" / "downstream").unlink()

    told = tree.setup()

    assert "installed" in told
    assert "heartbeat  active" in tree.run("downstream", "status").stdout


def test_uninstalling_stops_the_work_and_leaves_what_customers_gave(setup: SetUp) -> None:
    tree = setup.tree
    data = tree.home / "streams" / "kept" / "input.json"
    data.parent.mkdir()
    data.write_text("{}")
    (tree.home / "jobs" / "completed" / "kept.json").write_text("{}")
    kept = {
        name: about for name, about in tree.manifest().items() if re.match(r"opt/downstream/(jobs|streams|\.env)", name)
    }

    told = tree.setup("--uninstall")

    after = tree.manifest()
    assert {name: after[name] for name in kept} == kept
    assert "streams" in told
    for gone in ("etc/systemd/system/downstream.service", "usr/local/bin/downstream", "etc/caddy/downstream.caddy"):
        assert gone not in after
    assert "opt/downstream/.venv" not in after
    assert "downstream" not in tree.run("crontab", "-u", "downstream", "-l", check=False).stdout.replace(
        "no crontab for downstream", ""
    )
    assert "downstream.caddy" not in (tree.root / "etc/caddy/Caddyfile").read_text()

    tree.setup("--domain", DOMAIN)
    assert "heartbeat  active" in tree.run("downstream", "status").stdout


def test_an_installation_may_lie_elsewhere_and_stays_there(setup: SetUp) -> None:
    tree, home = setup.tree, "/opt/downstream-shop"
    backup = "30 3 * * *  /opt/downstream-shop/.venv/bin/downstream backup /opt/downstream-backups"
    tree.run("cp", "-a", HOME, home)
    tree.run("sh", "-c", f"cd {home} && rm -rf .venv .venvs && echo '{backup}' >> crontab.txt")

    for _ in range(2):
        tree.run(f"{home}/setup_hetzner.sh")

    lines = crontab(tree).splitlines()
    assert f"DOWNSTREAM_HOME={home}" in lines
    assert sum(f" {home}/.venv/bin/downstream process" in line for line in lines) == 1
    assert backup in lines
    assert "shop-shop" not in crontab(tree)
