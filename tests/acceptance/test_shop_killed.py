"""The webhook is killed before every single change it makes to the disk; told again, the order is a job once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from conftest import environment
from fakes.stripe import FakeStripe
from fakes.stripe_webhooks import encoded
from served import at_checkout, core, half_written, jobs, shop_environment, signed

from downstream.domain.story import Story
from downstream.shop.events import receive

if TYPE_CHECKING:
    from pathlib import Path

_WEBHOOK = """
import os, sys
from pathlib import Path
from downstream.log import open_log
from downstream.settings import read_settings
from downstream.shop.events import receive
from downstream.suppliers import open_shop

home, body, signature, moment = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), sys.argv[3], int(sys.argv[4])
shop, seen = open_shop(home, read_settings(dict(os.environ)), open_log(home, "shop")), 0

def counted(change):
    def call(*arguments, **named):
        global seen
        seen += 1
        if seen == moment:
            os._exit(9)
        return change(*arguments, **named)
    return call

for name in ("fsync", "replace", "rename", "unlink", "mkdir"):
    setattr(os, name, counted(getattr(os, name)))
receive(shop, body, signature)
print(seen)
"""


def test_killed_before_any_change_the_next_call_makes_the_order_a_job_once(home: Path, tmp_path: Path) -> None:
    with FakeStripe() as account:
        settings = shop_environment(account)
        order, session = at_checkout(core(home, settings))
        account.pay(session)
        (event,) = account.events
        body = tmp_path / "event.json"
        body.write_bytes(encoded(event))
        assert order.offered is not None

        def handled(at: Path, moment: int) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-c", _WEBHOOK, str(at), str(body), signature(), str(moment)]
            return subprocess.run(command, capture_output=True, text=True, env=environment(**settings), check=False)

        def signature() -> str:
            return signed(body.read_bytes(), account.webhook_secret)

        whole = handled(shutil.copytree(home, tmp_path / "whole"), 0)
        moments = int(whole.stdout)
        assert moments >= 10

        for moment in range(1, moments + 1):
            copy = shutil.copytree(home, tmp_path / f"killed-{moment}")
            assert handled(copy, moment).returncode == 9, moment

            receive(core(copy, settings), body.read_bytes(), signature())

            assert jobs(copy) == {order.stream_id: ["pending"]}, moment
            job = json.loads((copy / "jobs" / "pending" / f"{order.stream_id}.json").read_bytes())
            assert job["customer_email"] == order.offered.email
            story = Story.model_validate_json((copy / "streams" / order.stream_id / "input.json").read_bytes())
            assert story.text == order.offered.text
            assert half_written(copy) == []
            assert list((copy / "streams" / ".drafts").iterdir()) == []
            assert (copy / "jobs" / ".errands" / f"{order.stream_id}.confirm.json").exists()
