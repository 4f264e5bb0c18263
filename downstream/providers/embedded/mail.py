"""Mail without a server: letters lie in ``streams/{stream_id}/mail/`` as RFC 5322 files."""

from __future__ import annotations

import re
from email.policy import SMTP, SMTPUTF8
from typing import TYPE_CHECKING

from downstream.files import private_folder, write_durably

if TYPE_CHECKING:
    from email.message import EmailMessage
    from pathlib import Path


class EmbeddedMail:
    """One ``.eml`` file a letter, named by its Message-ID: the same letter sent twice arrives once."""

    name = "embedded mail"

    def __init__(self, home: Path) -> None:
        self._streams = home / "streams"

    def send(self, stream_id: str, message: EmailMessage) -> str:
        """The letter lies in the stream's ``mail/``; returns the file's name."""
        message_id = str(message["Message-ID"]).strip("<>").partition("@")[0]
        name = re.sub(r"[^A-Za-z0-9._-]", "_", message_id) + ".eml"
        policy = SMTP if str(message["To"]).isascii() else SMTPUTF8
        folder = private_folder(self._streams / stream_id / "mail")
        write_durably(folder / name, message.as_bytes(policy=policy))
        return f"mail/{name}"
