"""Stands for the mail service: TLS from the first byte or by STARTTLS, a login, letters kept, faults at every word."""

from __future__ import annotations

import asyncio
import email
import logging
import ssl
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import EmailMessage

Stage = Literal["CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]
"""The words of the conversation; ``DATA`` is the moment after the letter has arrived in full."""

logging.getLogger("mail.log").setLevel(logging.ERROR)  # the library warns of its own deprecated names
_MOST_BYTES = 40_000_000


@dataclass(frozen=True, slots=True)
class MailFault:
    """What goes wrong at one stage of the conversation."""

    stage: Stage
    reply: str = ""
    """Said instead of accepting."""
    drops: bool = False
    silent_seconds: float = 0.0
    keeps: bool = False
    """At DATA: the letter is accepted all the same."""

    @classmethod
    def refuse(cls, stage: Stage, reply: str) -> Self:
        """``reply`` such as ``451 4.3.0 Try again later``; at AUTH any reply means that the login is refused."""
        return cls(stage, reply=reply)

    @classmethod
    def drop(cls, stage: Stage) -> Self:
        """The connection breaks; no letter was accepted."""
        return cls(stage, drops=True)

    @classmethod
    def drop_after_data(cls) -> Self:
        """The letter was accepted and goes out, but the connection breaks before the reply."""
        return cls("DATA", drops=True, keeps=True)

    @classmethod
    def silence(cls, stage: Stage, seconds: float) -> Self:
        """Nothing is said for ``seconds``; then all goes on as if nothing had been."""
        return cls(stage, silent_seconds=seconds)

    @classmethod
    def no_starttls(cls) -> Self:
        """STARTTLS is not offered."""
        return cls("EHLO")


@dataclass(frozen=True)
class Letter:
    """One accepted letter, as it came over the wire."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    at: datetime

    @cached_property
    def message(self) -> EmailMessage:
        """The letter, parsed; its lines end as Python's do."""
        return email.message_from_bytes(self.raw.replace(b"\r\n", b"\n"), policy=policy.default)


class FakeSmtp:
    """A mail server on 127.0.0.1. ``resend``: letters with a ``Resend-Idempotency-Key`` seen before are not sent again.

    Leaving the context raises AssertionError when the fake itself broke.
    """

    def __init__(
        self,
        *,
        security: Literal["implicit", "starttls"] = "implicit",
        user: str = "downstream",
        password: str = "planted:p@ss/word",  # noqa: S107 - obviously no secret; must be quoted in an address
        resend: bool = False,
    ) -> None:
        self.security = security
        self.user = user
        self.password = password
        self.resend = resend
        self.letters: list[Letter] = []
        self.swallowed: list[Letter] = []
        """Letters accepted but not sent, because their key was known."""
        self.refused_logins = 0
        self.defects: list[str] = []
        self.port = 0
        self._faults: list[MailFault] = []
        self._listeners: list[Callable[[str, Letter], None]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._folder = TemporaryDirectory(prefix="fake-smtp-")

    @property
    def authority(self) -> Path:
        """The certificate of the authority that vouches for this server, for ``SSL_CERT_FILE``."""
        return Path(self._folder.name) / "authority.pem"

    @property
    def url(self) -> str:
        """The setting ``SMTP_URL``."""
        scheme = "smtps" if self.security == "implicit" else "smtp"
        return f"{scheme}://{quote(self.user, safe='')}:{quote(self.password, safe='')}@127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.authority))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(context), self._loop).result()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._folder.cleanup()
        if kind is None and self.defects:
            raise AssertionError("\n".join(self.defects))

    def fail_next(self, fault: MailFault, *, times: int = 1) -> None:
        """Lets ``fault`` happen the next ``times`` times that a conversation comes to its stage."""
        self._faults.extend([fault] * times)

    @property
    def faults_left(self) -> int:
        """How many planned faults have not happened yet."""
        return len(self._faults)

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        self._faults.clear()

    def on_request(self, listener: Callable[[str, Letter], None]) -> None:
        """Calls ``listener(moment, letter)`` in the server's thread: accepted, before_reply, after_reply."""
        self._listeners.append(listener)

    # Called by the conversations

    def take_fault(self, stage: Stage) -> MailFault | None:
        """The fault planned for ``stage``, which then has happened."""
        fault = next((fault for fault in self._faults if fault.stage == stage), None)
        if fault:
            self._faults.remove(fault)
        return fault

    def keep(self, envelope: Envelope) -> Letter:
        """Accepts a letter."""
        raw = envelope.original_content or b""
        letter = Letter(str(envelope.mail_from), tuple(envelope.rcpt_tos), raw, datetime.now(UTC))
        key = letter.message["Resend-Idempotency-Key"]
        known = {other.message["Resend-Idempotency-Key"] for other in self.letters}
        (self.swallowed if self.resend and key and key in known else self.letters).append(letter)
        self.tell("accepted", letter)
        return letter

    def tell(self, moment: str, letter: Letter) -> None:
        """Tells whoever listens."""
        for listener in self._listeners:
            listener(moment, letter)

    def authenticate(
        self, server: _Conversation, _session: Session, _envelope: Envelope, _mechanism: str, given: Any
    ) -> AuthResult:
        """Whether user and password are right. A planned refusal holds for a whole conversation: clients try twice."""
        refused = server.refuses_logins = server.refuses_logins or self.take_fault("AUTH") is not None
        known = isinstance(given, LoginPassword) and given == LoginPassword(self.user.encode(), self.password.encode())
        if refused or not known:
            self.refused_logins += 1
            return AuthResult(success=False, handled=False)
        return AuthResult(success=True, auth_data=self.user)

    # The server

    async def _listen(self, context: ssl.SSLContext) -> None:
        implicit = self.security == "implicit"
        self._server = await self._loop.create_server(
            lambda: _Conversation(self, None if implicit else context),
            "127.0.0.1",
            0,
            ssl=context if implicit else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _hang_up(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Conversation(SMTP):
    """One connection. ``context`` is for STARTTLS, which is then compulsory; without it TLS is already there."""

    def __init__(self, fake: FakeSmtp, context: ssl.SSLContext | None) -> None:
        super().__init__(
            _Manners(fake),
            data_size_limit=_MOST_BYTES,
            hostname="localhost",
            ident="ESMTP",
            tls_context=context,
            require_starttls=context is not None,
            auth_require_tls=context is not None,
            authenticator=fake.authenticate,
            loop=fake._loop,
        )
        self._fake = fake
        self.refuses_logins = False

    async def _handle_client(self) -> None:
        fault = self._fake.take_fault("CONNECT")
        if fault and fault.drops:
            self.transport.abort()
        else:
            await asyncio.sleep(fault.silent_seconds if fault else 0)
            await super()._handle_client()

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - named by the library
        await super().smtp_DATA(arg)
        if self.event_handler.kept and not self.transport.is_closing():
            self._fake.tell("after_reply", self.event_handler.kept)


class _Manners:
    """What a conversation answers to each word."""

    def __init__(self, fake: FakeSmtp) -> None:
        self._fake = fake
        self.kept: Letter | None = None

    async def handle_EHLO(  # noqa: N802 - named by the library, like the others
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        offers_tls = any("STARTTLS" in line for line in responses)
        if offers_tls and self._fake.take_fault("EHLO"):
            return [line for line in responses if "STARTTLS" not in line]
        return responses

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return await self._reply("MAIL", server, "250 2.1.0 OK")

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = await self._reply("RCPT", server, "250 2.1.5 OK")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return reply

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        fault = self._fake.take_fault("DATA")
        if fault and not fault.keeps and (fault.reply or fault.drops):
            return await self._happen(fault, server, "")
        self.kept = self._fake.keep(envelope)
        if not (fault and fault.drops):
            self._fake.tell("before_reply", self.kept)
        return await self._happen(fault, server, "250 2.0.0 OK: queued")

    async def handle_QUIT(self, server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802
        return await self._reply("QUIT", server, "221 2.0.0 Bye")

    async def handle_exception(self, error: Exception) -> str:
        if not isinstance(error, OSError):  # the client went away: its own affair
            self._fake.defects.append("".join(traceback.format_exception(error)))
        return "451 4.3.0 Internal error"

    async def _reply(self, stage: Stage, server: SMTP, otherwise: str) -> str:
        return await self._happen(self._fake.take_fault(stage), server, otherwise)

    async def _happen(self, fault: MailFault | None, server: SMTP, otherwise: str) -> str:
        if fault is None:
            return otherwise
        if fault.drops:
            server.transport.abort()
        await asyncio.sleep(fault.silent_seconds)
        return fault.reply or otherwise
