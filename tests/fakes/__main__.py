"""Starts all the fakes, prints the settings that point a shell at them, and runs until it is told to end.

``cd tests && python -m fakes`` in one terminal; paste what it prints into another. Stripe tells of payments where
``downstream serve`` listens unless it is told otherwise.
"""

from __future__ import annotations

import shlex
import signal
import sys

from fakes.services import Services
from fakes.stripe import FakeStripe

WEBHOOK_URL = "http://127.0.0.1:8000/stripe/webhook"


def main() -> None:
    """Runs until SIGTERM or SIGINT."""
    ending = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    with Services(stripe=FakeStripe(webhook_url=WEBHOOK_URL)) as services:
        for name, value in services.environment().items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
        sys.stdout.flush()
        signal.sigwait(ending)


if __name__ == "__main__":
    main()
