"""What every part of the shop is handed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from downstream.guard import has_disk
from downstream.heartbeat import Pulse, read_heartbeat
from downstream.shop.orders import Orders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from downstream.domain.ports import Mail, Payments
    from downstream.queue import Queue
    from downstream.settings import Settings


@dataclass
class Shop:
    """The shop door of one installation."""

    home: Path
    settings: Settings
    queue: Queue
    payments: Payments | None
    """None: nobody pays, every order is a demo."""
    mail_for: Callable[[bool], Mail | None]
    """Who carries letters about a paid order (True) or a demo (False); None while nobody can."""
    log: FilteringBoundLogger
    tell: Callable[[str, str], None]
    """``tell(fingerprint, sentence)``: the operator hears the sentence once."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def orders(self) -> Orders:
        """All orders the shop knows."""
        return Orders(self.home)

    @property
    def is_open(self) -> bool:
        """New orders are taken: somebody has renewed the heartbeat, nobody has paused it, and the disk has room."""
        is_alive = read_heartbeat(self.home, self.clock()).pulse is Pulse.ACTIVE
        return is_alive and has_disk(self.home, self.settings)
