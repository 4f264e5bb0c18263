"""Backups and the way back from one; and what is no longer needed goes."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from downstream.alerts import is_news, is_over
from downstream.commands.common import end, host_of, mail_operator, now, require_running, settings_of, shop_of, tell
from downstream.domain.errors import Misconfigured
from downstream.exit_codes import ExitCode
from downstream.installation import require_installation
from downstream.machine import machine_trouble
from downstream.settings import read_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from downstream.backup.folder import Made
    from downstream.shop.tidy import Plan

RESTIC = "restic"


@click.command()
@click.argument("where", metavar="DIR|restic")
@click.option("--keep", type=click.IntRange(min=1), default=14, show_default=True, help="So many newest ones stay.")
@click.option(
    "--with-secrets", is_flag=True, help="Also .env, with every key. Without, a restore says which are missing."
)
@click.pass_obj
def backup(home: Path, where: str, keep: int, with_secrets: bool) -> None:  # noqa: FBT001
    """Write a new, verified backup below DIR, or hand it to the restic program.

    Orders, streams, books, reports, triggers, HEARTBEAT.md, crontab.txt and prices.toml are copied while the system
    works on; nothing is stopped and nobody waits. In DIR each backup is a folder named after its time, with the size
    and SHA-256 of every file in its manifest; files that did not change are hard links to the backup before. What was
    cut off never counts and is removed by the next run. Give each installation a DIR of its own, on another disk.

    restic takes the repository and its password from RESTIC_REPOSITORY, RESTIC_PASSWORD or RESTIC_PASSWORD_FILE, in the
    environment or .env (a folder of that name is ./restic). Works while HEARTBEAT.md says PAUSED, too.
    """
    require_installation(home)
    from downstream.backup import folder, restic
    from downstream.log import open_log

    log = open_log(home, "keeping")
    kind = RESTIC if where == RESTIC else "folder"
    run = (
        partial(restic.back_up, home, read_environment(home, os.environ))
        if where == RESTIC
        else partial(folder.back_up, home, Path(where))
    )
    try:
        made = run(keep=keep, with_secrets=with_secrets, now=now(), advanced=_shown("orders"))
    except Exception as error:
        log.warning("backup.failed", kind=kind, error=type(error).__name__)
        _tell_failed(home, type(error).__name__)
        if isinstance(error, OSError) and where != RESTIC:
            raise machine_trouble(error, Path(where)) from error  # not the installation's disk, unless a file says so
        raise
    facts = {"files": len(made.manifest.files), "size_bytes": made.manifest.size_bytes, "wrong": len(made.found)}
    log.info("backup.made", kind=kind, name=made.name, **facts)
    _tell(made)
    if is_over(home, "backup"):
        tell(home, "all clear: a backup was made")


@click.command()
@click.argument("source", metavar="SOURCE")
@click.option("--to", "target", type=click.Path(path_type=Path, file_okay=False), help="Where.  [default: --home]")
@click.option("--snapshot", default="latest", show_default=True, help="With restic: which one.")
@click.option(
    "--resume", is_flag=True, help="A planned move: the old machine was paused before the backup. Hold nothing."
)
@click.pass_obj
def restore(home: Path, source: str, target: Path | None, snapshot: str, resume: bool) -> None:  # noqa: FBT001
    """Lay an installation out from a backup: checked, paused, unfinished orders held.

    SOURCE is the backup's folder, a folder of backups (the newest is taken), or restic. Every byte is checked before
    anything is put in place; a damaged backup is refused, and so is a place that has orders.

    Afterwards HEARTBEAT.md says PAUSED. What was finished is neither paid for nor mailed again. What was not may have
    been finished by the lost machine since the backup, so it is held, with its letters and refunds, until downstream
    release ID. Prints what was restored, what is held and what is missing, and the next steps. A restore that was cut
    off is run again.
    """
    from downstream.backup import restore as restoring
    from downstream.log import open_log

    place = target or home
    environment = read_environment(place, os.environ)
    bring = (
        restoring.from_restic(environment, snapshot)
        if source == RESTIC
        else restoring.from_folder(Path(source), _shown("files"))
    )
    report = restoring.restore(place.absolute(), bring, environment, resume=resume, now=now())
    open_log(place, "keeping").info("restore.done", resume=resume)
    for line in report:
        click.echo(line)


@click.command()
@click.option(
    "--thin",
    "thin_days",
    type=click.IntRange(min=30),
    metavar="DAYS",
    help="Also the clips and frames of orders completed, and untouched since, for more than DAYS (at least 30).",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def tidy(home: Path, thin_days: int | None, yes: bool) -> None:  # noqa: FBT001
    """Remove what nobody needs any more, after showing what would go and asking once.

    Erased like with downstream forget: orders in jobs/failed that nobody paid for, or that were refunded, and completed
    ones that nobody paid for, when KEEP_FAILED_DAYS (90) have passed since anything happened to them. Beside them: old
    rehearsals, marks of reviews long finished, half-written files, empty folders.

    Never touched: what waits, is made, reviewed or held; what failed and is paid and not refunded; a delivered order
    that was paid for, but for its clips and frames with --thin. Its page stays as it is, and so do its plan, keyframes
    and receipts; but a new version must then buy every clip again (downstream review --regenerate ID ... --rebuy).

    A run that was cut off is run again.
    """
    require_running(home)
    from downstream.shop import tidy as tidying

    shop = shop_of(home)
    plan = tidying.look(shop, thin_days)
    _show(plan)
    if plan.is_empty:
        end(ExitCode.NOTHING_TO_DO, "nothing is old enough to go")
    if not yes:
        click.confirm(f"Remove all of it ({plan.size_bytes:,} bytes) for good?", abort=True, err=True)
    not_done = tidying.carry_out(shop, plan, thin_days, lambda: host_of(home, shop.settings))
    for name, why in not_done.items():
        click.echo(f"not done - {name}: {why}", err=True)
    if not_done:
        sys.exit(ExitCode.WAITING)
    click.echo("done")


def _show(plan: Plan) -> None:
    """What would go, the largest first, and what only a person can let go."""
    for what, found in (("erase", plan.orders), ("thin", plan.thinned), ("remove", plan.beside)):
        for old in sorted(found, key=lambda one: one.size_bytes, reverse=True):
            click.echo(f"{what:<6} {old.name}  {old.files} file(s), {old.size_bytes:,} bytes: {old.why}")
    for stream_id, why in plan.kept.items():
        click.echo(f"stays  {stream_id}: {why}", err=True)


def _shown(what: str) -> Callable[[int, int], None]:
    """On a terminal one line tells how far it is."""

    def show(done: int, total: int) -> None:
        click.echo(f"\r{done} of {total} {what}", nl=done == total, err=True)

    return show if sys.stderr.isatty() else lambda _, __: None


def _tell_failed(home: Path, error: str) -> None:
    """It is mailed, once a day; the command itself prints what went wrong, for cron's mail."""
    if is_news(home, "backup", now()):
        with suppress(Misconfigured):
            sentence = f"no backup was made ({error}): see cron's mail, or run downstream backup by hand"
            mail_operator(home, settings_of(home), [sentence])


def _tell(made: Made) -> None:
    """What a person must know, and on a terminal what was done."""
    for sentence in made.found:
        click.echo(f"the backup is whole, but {sentence}", err=True)
    if sys.stdout.isatty():
        size, linked = made.manifest.size_bytes / 1e6, made.linked_bytes / 1e6
        click.echo(f"{made.name}: {len(made.manifest.files)} files, {size:,.1f} MB ({linked:,.1f} MB as before)")
