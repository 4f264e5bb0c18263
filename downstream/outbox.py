"""What the operator must hear goes by mail, too; what cannot be sent now waits in ``logs/outbox`` and goes later.

Where no mail to the operator is set up, commands print it, and cron mails what they print. The shop has nobody to print
for: what it has to say waits here (``leave``) until the next command prints it (``hand_over``).

Part of the entry point: it picks the mail service itself. Sentences hold ids, figures and reasons, never a customer's
words or address. Nothing that goes wrong here ends what called it.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from downstream.domain.errors import DownstreamError, PersonDecides
from downstream.files import private_folder, write_durably
from downstream.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from downstream.settings import Settings

_UNKEPT: list[str] = []
"""What could not be written down; this process mails it before it ends."""


def put(home: Path, settings: Settings, sentences: Sequence[str], now: datetime) -> None:
    """The sentences wait to be mailed; nothing happens where no mail to the operator is set up.

    On a disk that cannot be written to they wait in this process, and are gone with it.
    """
    if not sentences or not _is_set_up(settings):
        return
    try:
        leave(home, sentences, now)
    except OSError:
        _UNKEPT.extend(sentences)


def leave(home: Path, sentences: Sequence[str], now: datetime) -> None:
    """The sentences wait, on the disk, for whoever can tell them.

    Raises:
        OSError: they could not be written down.
    """
    note = {"at": now.isoformat(), "sentences": list(sentences)}
    name = f"{now:%Y%m%dT%H%M%S}-{os.urandom(4).hex()}.json"
    write_durably(_folder(home) / name, json.dumps(note, indent=1).encode())


def is_empty(home: Path) -> bool:
    """Nothing waits to be told."""
    folder = home / "logs" / "outbox"
    return not _UNKEPT and (not folder.is_dir() or not any(path.suffix == ".json" for path in folder.iterdir()))


def send(home: Path, settings: Settings) -> None:
    """What waited was mailed, or waits on because the server did not take it, or because of a fault.

    A letter whose acceptance got lost is sent once more under the same ``Message-ID``. One that the server refuses for
    good is kept beside the others as ``.refused``.
    """
    if is_empty(home) or not _is_set_up(settings):
        return
    try:
        _send_unkept(settings)
        _send_kept(home, settings)
    except Exception as error:  # noqa: BLE001 - a letter about the work must not end the work
        from downstream.log import open_log, where

        with suppress(OSError):
            open_log(home, "outbox").error("outbox.failed", **where(error))


def hand_over(home: Path, settings: Settings, say: Callable[[str], None]) -> None:
    """Where no mail to the operator is set up, what waited was said."""
    if is_empty(home) or _is_set_up(settings):
        return
    with suppress(OSError), _sole_sender(home) as is_ours:
        for path, note in _notes(home).items() if is_ours else ():
            for sentence in note["sentences"]:
                say(sentence)
            path.unlink()


def _is_set_up(settings: Settings) -> bool:
    return bool(settings.operator_email and settings.smtp_url)


def _send_unkept(settings: Settings) -> None:
    """What could not be written down goes at once, or never."""
    sentences = list(_UNKEPT)
    _UNKEPT.clear()
    if sentences:
        now = datetime.now(UTC)
        with suppress(DownstreamError):
            _mail(settings, sentences, now, f"{now:%Y%m%dT%H%M%S}-{os.urandom(4).hex()}")


def _send_kept(home: Path, settings: Settings) -> None:
    """All that waits goes in one letter."""
    with _sole_sender(home) as is_ours:
        notes = _notes(home) if is_ours else {}
        if not notes:
            return
        paths = list(notes)
        sentences = [sentence for note in notes.values() for sentence in note["sentences"]]
        try:
            _mail(settings, sentences, notes[paths[-1]]["at"], f"{paths[0].stem}.{len(paths)}")
        except PersonDecides:
            for path in paths:
                path.rename(path.with_suffix(".refused"))
        except DownstreamError:
            return  # a later run tries again
        else:
            for path in paths:
                path.unlink(missing_ok=True)


@contextmanager
def _sole_sender(home: Path) -> Iterator[bool]:
    """Whether nobody else is sending, and will not meanwhile."""
    lock = Lock.take(_folder(home) / ".lock")
    if lock is None:
        yield False
        return
    with lock:
        yield True


def _notes(home: Path) -> dict[Path, dict[str, Any]]:
    """What waits and can be read, the oldest first."""
    read = {path: _read(path) for path in sorted(_folder(home).glob("*.json"))}
    return {path: note for path, note in read.items() if note}


def _mail(settings: Settings, sentences: Sequence[str], at: datetime, key: str) -> None:
    from downstream.providers.smtp import SmtpMail
    from downstream.steps.letters import alert_letter

    letter = alert_letter(list(sentences), sender=settings.mail_from, to=settings.operator_email, at=at, key=key)
    SmtpMail(settings.smtp_url.reveal(), settings.mail_from).send("operator", letter)


def _read(path: Path) -> dict[str, Any] | None:
    """What waits there. A file that somebody has spoilt is kept as ``.refused``: it must not stop every later run."""
    try:
        note = json.loads(path.read_bytes())
        return {"at": datetime.fromisoformat(note["at"]), "sentences": [str(one) for one in note["sentences"]]}
    except (ValueError, LookupError, TypeError):
        path.rename(path.with_suffix(".refused"))
        return None


def _folder(home: Path) -> Path:
    return private_folder(home / "logs" / "outbox")
