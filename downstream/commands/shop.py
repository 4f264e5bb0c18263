"""The shop door, and what may be done to an order that was paid for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from downstream import outbox
from downstream.commands.common import SHOP_LOG, end, host_of, now, require_running, settings_of, shop_of
from downstream.domain.errors import Misconfigured
from downstream.exit_codes import ExitCode
from downstream.heartbeat import SUNSET, read_heartbeat
from downstream.holds import is_restored
from downstream.installation import require_installation
from downstream.queue import Queue
from downstream.shop import watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from downstream.shop.shop import Shop
    from downstream.shop.sunset import Ended, Owed


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free one.")
@click.pass_obj
def serve(home: Path, host: str, port: int) -> None:
    """Serve the order form, the customers' pages and Stripe's webhook until Ctrl-C or SIGTERM.

    Runs behind a reverse proxy on the same machine that speaks TLS; PUBLIC_URL is the address customers see. Stripe
    calls PUBLIC_URL/stripe/webhook. Without STRIPE_API_KEY the shop is a demo: nobody pays.

    While HEARTBEAT.md is overdue or paused no new orders are taken; what was paid for is still written down.
    """
    require_installation(home)
    from downstream.log import on_terminal, open_log
    from downstream.web.run import run

    settings = settings_of(home)

    def announce(host: str, port: int, shop: Shop) -> None:
        kind = (
            f"an order costs {settings.price}" if shop.payments else "a demo: nobody pays (STRIPE_API_KEY is not set)"
        )
        click.echo(f"the shop is at http://{host}:{port}/ - {kind}", err=True)

    show = (lambda line: click.echo(line, err=True)) if on_terminal() else None
    run(home, settings, open_log(home, SHOP_LOG, show), host=host, port=port, on_listening=announce)


@click.command()
@click.option(
    "--days",
    type=click.IntRange(1, 30),
    help="How far back to look; without it, to before the last look that came to its end, and 4 days at least.",
)
@click.option(
    "--replay", is_flag=True, help="Carry out again every event kept in logs/stripe instead of asking Stripe."
)
@click.pass_obj
def reconcile(home: Path, days: int | None, replay: bool) -> None:  # noqa: FBT001
    """Compare what Stripe was paid with the jobs here, and heal every gap.

    A paid session without a job becomes one, through the same function that the webhook calls; a refund or dispute that
    nobody told us of holds its order up. downstream process does this by itself every 15 minutes once a payment page
    was opened.
    """
    require_running(home)
    from downstream.shop import counter
    from downstream.shop.events import replay as replay_events
    from downstream.shop.reconcile import reconcile as compare

    shop = shop_of(home)
    if shop.payments is None:
        raise Misconfigured("STRIPE_API_KEY is not set: there is nothing to compare with")
    if replay:
        click.echo(f"{sum(1 for _ in replay_events(shop))} events carried out again")
    else:
        lock = watch.begin(home)
        if lock is None:
            end(ExitCode.WAITING, "another run is comparing right now")
        with lock:
            found = compare(shop, days=days)
        click.echo(
            f"{found.sessions} paid sessions of the last {found.days} days, {len(found.healed)} without a job"
            + "".join(f"\n  {stream_id} is a job now" for stream_id in found.healed)
        )
    counter.work_off(shop)
    outbox.send(home, shop.settings)


@click.command()
@click.argument("stream_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def refund(home: Path, stream_id: str, yes: bool) -> None:  # noqa: FBT001
    """Give back all that is left of an order's payment, and tell the customer.

    Looks up what was given back before and whether the payment is disputed, shows what it will do, and asks once. Run
    again after a lost answer, or by two people at once, it refunds once. The order goes to jobs/failed unless it is
    delivered; nothing more is bought for it.
    """
    require_running(home)
    from downstream.domain.money import Money
    from downstream.shop import counter
    from downstream.shop.refund import account
    from downstream.shop.refund import refund as give_back

    shop = shop_of(home)
    found = account(shop, stream_id)
    before = Money(found.left.currency, found.payment.received.amount_minor - found.left.amount_minor)
    where_it_is = f"jobs/{found.state.value}" if found.state else "no folder"
    click.echo(f"{stream_id} in {where_it_is}: {found.paid.amount} was paid, {before} went back, {found.left} is left")
    if found.left.amount_minor > 0 and not yes:
        click.confirm(f"Give back {found.left} and close the order?", abort=True, err=True)
    made = give_back(shop, stream_id)
    click.echo(f"{made.amount} is on its way back ({made.status})" if made else "all of it had gone back before")
    counter.work_off(shop)
    if is_restored(home, stream_id):
        click.echo(f"it came out of a backup, so the letter to the customer waits: downstream release {stream_id}")
    outbox.send(home, shop.settings)


@click.command()
@click.argument("stream_id", metavar="ID")
@click.option("--reason", default="held by the operator", help="Is shown wherever the order is.")
@click.pass_obj
def hold(home: Path, stream_id: str, reason: str) -> None:
    """Keep an order from going on: nothing more is bought, published or mailed for it until release.

    Takes effect at once, also while the order is being made: what is under way ends, the next paid call is not begun.
    """
    require_installation(home)
    from downstream.shop.cancel import hold_back

    first = hold_back(Queue(home), stream_id, reason, now())
    click.echo(f"{stream_id} is held" if first else f"{stream_id} was held before")


@click.command()
@click.argument("stream_id", metavar="ID")
@click.option(
    "--delivered", metavar="ADDRESS", help="It came out of a backup, and its page was delivered since, there: close it."
)
@click.pass_obj
def release(home: Path, stream_id: str, delivered: str | None) -> None:
    """Let a held order go on, whoever held it: hold, a refund or a dispute at Stripe, a restore.

    Where several do, one is let go: a restore first, then what the operator said, then what the bank did. What is left
    is shown, and stands until the next call.
    """
    require_installation(home)
    from downstream.shop.cancel import note_delivered
    from downstream.shop.cancel import release as let_go

    if delivered is not None:
        note_delivered(Queue(home), stream_id, delivered, now())
        click.echo(f"{stream_id} is completed; nothing was made or sent")
        return
    held = let_go(Queue(home), stream_id)
    still = f"is still held: {held.before.reason}" if held.before else "goes on"
    click.echo(f"{stream_id} {still}; it was held: {held.reason}")


@click.command()
@click.argument("stream_id", metavar="ID")
@click.option("--reason", default="cancelled by the operator", help="Why; is kept with the order.")
@click.pass_obj
def cancel(home: Path, stream_id: str, reason: str) -> None:
    """Give an order up: it goes to jobs/failed before its next paid call. Its money is not touched; see refund."""
    require_installation(home)
    from downstream.shop.cancel import cancel as give_up

    done = give_up(Queue(home), stream_id, reason, now())
    click.echo(
        f"{stream_id} is in jobs/failed" if done else f"{stream_id} is being made: it stops at its next paid call"
    )
    click.echo(f"to give the money back: downstream refund {stream_id}")


@click.command()
@click.option(
    "--finish", multiple=True, metavar="ID|all", help="Make this order's page, also where it failed or is held."
)
@click.option("--refund", "refunds", multiple=True, metavar="ID|all", help="Give this order's money back instead.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def sunset(home: Path, finish: tuple[str, ...], refunds: tuple[str, ...], yes: bool) -> None:  # noqa: FBT001
    """Close the shop for good: list every paid order with what remains, then finish or refund each.

    Shows the plan and asks once; until then nothing changes. What is being made is finished, what failed is refunded,
    and what is held waits for you: --finish and --refund choose otherwise, for one order or for all that are not held
    or disputed. Then HEARTBEAT.md says SUNSET: no new orders, also after renew; open payment pages are closed; cron
    goes on until everything is delivered and every letter sent. Run it again to see what is left; at the end it says
    what only you can do.
    """
    require_running(home)
    from downstream.shop import counter
    from downstream.shop import sunset as ending

    shop = shop_of(home)
    plan = ending.chosen(ending.owed(shop), finish=finish, refunds=refunds)
    pages = ending.open_pages(shop)
    for line in _told_of_sunset(home, plan, len(pages)):
        click.echo(line)
    is_closed = read_heartbeat(home, now()).is_sunset
    has_more = bool(pages or finish or any(one.way is ending.Way.REFUND for one in plan))
    ended = None
    if not is_closed or has_more:
        if not yes:
            click.confirm("Close the shop and do this?", abort=True, err=True)
        ended = ending.Ended()
        _close_for_good(home)
        ending.close_pages(shop, ended)
        ending.carry_out(shop, ending.chosen(ending.owed(shop), finish=finish, refunds=refunds), ended)
    counter.work_off(shop)  # with the letters that a run which was cut off left behind
    outbox.send(home, shop.settings)
    for line in _told_of_end(ended) if ended else ():
        click.echo(line)
    if ended and ended.not_done:
        end(ExitCode.WAITING, "run downstream sunset again when that is settled")
    if ending.owed(shop):
        end(ExitCode.WAITING, "cron goes on with what is owed; run downstream sunset again to see what is left")
    waiting = list(ending.waiting(shop))
    for line in waiting:
        click.echo(line)
    if waiting:
        end(ExitCode.WAITING, "run downstream sunset again when nothing waits any more")
    click.echo("nothing is owed to anybody. What only you can do:")
    for line in ending.left_to_do(shop):
        click.echo(f"  - {line}")


def _told_of_sunset(home: Path, plan: Sequence[Owed], pages: int) -> Iterator[str]:
    from downstream.overview import progress
    from downstream.workspace import Workspace

    if not plan:
        yield "no paid order is open"
    for one in plan:
        made = progress(Workspace(home, one.stream_id))
        yield f"{one.way.value:<7} {one.stream_id}  {one.paid or 'unknown'}  jobs/{one.state.value}, {made}: {one.why}"
    if pages:
        yield f"{pages} payment page(s) are open and will be closed"


def _told_of_end(ended: Ended) -> Iterator[str]:
    yield f"the shop is closed: {ended.pages_closed} payment page(s) closed, {len(ended.refunded)} order(s) refunded"
    for stream_id in ended.paid_meanwhile:
        yield f"{stream_id} was paid for before its page could be closed: it is made"
    for sentence in ended.not_done:
        yield f"not done - {sentence}"


def _close_for_good(home: Path) -> None:
    from downstream.commands.house import heartbeat_in_hand, say_in_heartbeat

    with heartbeat_in_hand(home) as found:
        if not found.is_sunset:
            say_in_heartbeat(home, status=SUNSET, renewed=found.renewed, days=found.renew_days)


@click.command()
@click.argument("stream_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def forget(home: Path, stream_id: str, yes: bool) -> None:  # noqa: FBT001
    """Erase an order and its customer: here, and at the host of the page. There is no way back.

    The job, the story, the page, letters and receipts go. The amount, date and ids of the payment stay for ten years,
    as tax law asks, in logs/forgotten/ID.json, beside the proof of what was erased. Refuses while something is owed: an
    order that is paid and neither delivered nor refunded, or whose payment is disputed. Shows what will go and asks
    once; run again after a fault it goes on. Each order is forgotten by itself; others of the same address are named.
    """
    require_running(home)
    from downstream.shop import forget as forgetting

    shop = shop_of(home)
    found = forgetting.look(shop, stream_id)
    for line in forgetting.tell(found):
        click.echo(line)
    others = forgetting.others_of(home, found)
    if not yes:
        click.confirm(f"Erase {stream_id} for good?", abort=True, err=True)
    proof = forgetting.forget(shop, stream_id, lambda: host_of(home, shop.settings))
    click.echo(f"{stream_id} is forgotten; the proof: logs/forgotten/{stream_id}.json")
    for service, said in proof.outside.items():
        click.echo(f"  {service}: {said}")
    for name in proof.mentioned_in:
        click.echo(f"  {name} holds the address, the title or the link: mend it by hand", err=True)
    if others:
        click.echo(f"the same address has other orders: {', '.join(others)}")


@click.command()
@click.argument("stream_id", metavar="ID")
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write it; nothing is overwritten.  [default: ID.zip in the current folder]",
)
@click.pass_obj
def export(home: Path, stream_id: str, target: Path | None) -> None:
    """Pack everything that is held of an order into one ZIP file, for a customer who asks for it.

    The job, the story, the order, letters, plan, page and receipts, and a README.txt in plain words: what each file is,
    who received it and how long it is kept. Works in any state, also while the order is being made, and while
    HEARTBEAT.md says PAUSED. The customer's own secret link is in it, so hand it to nobody else.
    """
    require_installation(home)
    from downstream.shop.export import export as pack

    written = pack(home, stream_id, target or Path(f"{stream_id}.zip"), now())
    click.echo(written)
