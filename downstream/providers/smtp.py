"""Mail over SMTP, with TLS from the first byte (``smtps://``) or before the password (``smtp://``), never without."""

from __future__ import annotations

import re
import smtplib
import ssl
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from email.headerregistry import Address
from email.policy import SMTP, SMTPUTF8
from email.utils import parseaddr
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from downstream.domain.errors import DownstreamError, Misconfigured, PersonDecides, TryAgain, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import EmailMessage

TIMEOUT_SECONDS = 60.0
"""For each answer of the server; the library's own default waits for ever."""
SMTPS_PORT = 465
SUBMISSION_PORT = 587
LONGEST_IDEMPOTENCY_KEY = 256


class SmtpMail:
    """Sends letters through the server of ``SMTP_URL``.

    ``idempotent_hosts`` are the servers (and all below their names) that know the header ``Resend-Idempotency-Key``
    and deliver a letter with the same one once a day: https://resend.com/docs/send-with-smtp
    """

    name = "smtp"

    def __init__(self, url: str, sender: str, *, idempotent_hosts: tuple[str, ...] = ("resend.com",)) -> None:
        self._server = _Server.of(url)
        self._sender = parseaddr(sender)[1]
        if not self._sender.isascii():
            raise Misconfigured("MAIL_FROM has an address that not every server understands: it must be ASCII")
        self._is_idempotent = any(f".{self._server.host}".endswith(f".{host}") for host in idempotent_hosts)

    def send(self, stream_id: str, message: EmailMessage) -> str:
        """The server has accepted the letter; returns its word for that.

        Raises:
            Unknown: the connection broke when the letter may have been accepted.
            PersonDecides: the address or the letter is refused for good.
            TryAgain: the server is not there, or refuses for now.
            Misconfigured: it does not take the password or the sender, or offers no TLS.
        """
        try:
            recipient = _recipient(message)
            letter = self._prepared(message, recipient)
            with _connected(self._server, self._sender.rpartition("@")[2]) as connection:
                return _deliver(connection, self._sender, recipient, letter, stream_id)
        except Unknown:
            raise
        except DownstreamError as error:
            error.nothing_sent = True  # the server did not accept it: no letter is on its way
            raise

    def _prepared(self, message: EmailMessage, recipient: str) -> bytes:
        """The letter's bytes, with CR LF and no header that another could hide in."""
        headers = {"To": recipient}
        if self._is_idempotent:
            headers["Resend-Idempotency-Key"] = str(message["Message-ID"]).strip("<>")[:LONGEST_IDEMPOTENCY_KEY]
        return _with_headers(message, headers).as_bytes(policy=SMTP if recipient.isascii() else SMTPUTF8)


def check_login(url: str) -> None:
    """The server of ``url`` is there, proves who it is and takes the password; no letter is sent.

    Raises:
        Misconfigured: it does not.
        TryAgain: nobody answered.
    """
    with _connected(_Server.of(url), "localhost"):
        pass


@dataclass(frozen=True, slots=True)
class _Server:
    """What ``SMTP_URL`` says. Its ``repr`` shows no password."""

    host: str
    port: int
    is_implicit: bool
    """TLS from the first byte."""
    login: Callable[[], tuple[str, str]]

    @classmethod
    def of(cls, url: str) -> _Server:
        parts = urlsplit(url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        is_implicit = parts.scheme == "smtps"
        port = parts.port or (SMTPS_PORT if is_implicit else SUBMISSION_PORT)
        return cls((parts.hostname or "").lower(), port, is_implicit, lambda: (user, password))


@contextmanager
def _connected(server: _Server, own_name: str) -> Iterator[smtplib.SMTP]:
    """A connection under TLS, logged in. How it ends does not matter: what was accepted is accepted."""
    connection = _connect(server, own_name)
    try:
        _secure(connection, server)
        _log_in(connection, server)
        yield connection
        with suppress(smtplib.SMTPException, OSError):
            connection.quit()
    except (smtplib.SMTPException, OSError) as error:
        raise _trouble(server, error) from None
    finally:
        connection.close()


def _connect(server: _Server, own_name: str) -> smtplib.SMTP:
    name = own_name if own_name.isascii() and own_name else "localhost"
    try:
        if server.is_implicit:
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(server.host, server.port, name, timeout=TIMEOUT_SECONDS, context=context)
        return smtplib.SMTP(server.host, server.port, name, timeout=TIMEOUT_SECONDS)
    except (smtplib.SMTPException, OSError) as error:
        raise _trouble(server, error) from None


def _secure(connection: smtplib.SMTP, server: _Server) -> None:
    connection.ehlo_or_helo_if_needed()
    if server.is_implicit:
        return
    if not connection.has_extn("starttls"):
        raise Misconfigured(f"{server.host}:{server.port} offers no STARTTLS; SMTP_URL needs a server with TLS")
    code, _ = connection.starttls(context=ssl.create_default_context())
    if code != 220:
        raise Misconfigured(f"{server.host}:{server.port} refuses STARTTLS ({code})")
    connection.ehlo()


def _log_in(connection: smtplib.SMTP, server: _Server) -> None:
    user, password = server.login()
    if not user:
        return
    try:
        connection.login(user, password)
    except smtplib.SMTPNotSupportedError:
        raise Misconfigured(f"{server.host} takes no password, but SMTP_URL has one") from None
    except UnicodeError:
        raise Misconfigured("the user and password of SMTP_URL must be ASCII") from None
    except smtplib.SMTPResponseException as error:
        which = _codes(error.smtp_code, error.smtp_error)
        if 400 <= error.smtp_code < 500:
            raise TryAgain(f"{server.host} does not log anybody in now ({which})") from None
        raise Misconfigured(f"{server.host} does not accept the user and password of SMTP_URL ({which})") from None
    except smtplib.SMTPServerDisconnected:
        raise
    except smtplib.SMTPException:
        raise Misconfigured(f"{server.host} has no way to log in that is known here") from None


def _deliver(connection: smtplib.SMTP, sender: str, recipient: str, letter: bytes, stream_id: str) -> str:
    options = []
    if not recipient.isascii():
        if not connection.has_extn("smtputf8"):
            raise PersonDecides(f"the mail server cannot write to the address of {stream_id}: it is not ASCII")
        options = ["SMTPUTF8", "BODY=8BITMIME"]
    code, words = connection.mail(sender, options)
    if code >= 500:  # so it would be with every letter
        which = _codes(code, words)
        raise Misconfigured(
            f"the mail server refuses MAIL_FROM ({which}): set one that SMTP_URL's account may send from"
        )
    _expect((code, words), "the sender, MAIL_FROM,")
    _expect(connection.rcpt(recipient), f"the address of {stream_id}")
    reply = _hand_over(connection, letter, stream_id)
    _expect(reply, f"the letter of {stream_id}")
    return f"{reply[0]} {_text(reply[1])}".replace(recipient, "(address)")[:200].strip()


def _hand_over(connection: smtplib.SMTP, letter: bytes, stream_id: str) -> tuple[int, bytes | str]:
    """The server's last word, which smtplib's own ``send_message`` would swallow."""
    try:
        return connection.data(letter)
    except smtplib.SMTPDataError as error:  # it did not want to hear the letter
        return error.smtp_code, error.smtp_error
    except (smtplib.SMTPServerDisconnected, OSError):
        raise Unknown(f"the mail server was gone before it accepted the letter of {stream_id}") from None


def _expect(reply: tuple[int, bytes | str], what: str) -> None:
    """Raises unless the server accepted. Its sentence is not quoted: it may hold the address."""
    code, words = reply
    if 200 <= code < 300:
        return
    which = _codes(code, words)
    if 400 <= code < 500 or code < 0:  # -1: it spoke no SMTP
        raise TryAgain(f"the mail server does not accept {what} for now ({which})")
    raise PersonDecides(f"the mail server refuses {what} ({which})")


def _trouble(server: _Server, error: smtplib.SMTPException | OSError) -> DownstreamError:
    """What a broken conversation means before a letter was handed over."""
    where = f"{server.host}:{server.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return Misconfigured(f"the certificate of {where} is not valid for it ({error.verify_message})")
    if isinstance(error, smtplib.SMTPResponseException):
        which = _codes(error.smtp_code, error.smtp_error)
        if error.smtp_code >= 500:
            return Misconfigured(f"{where} does not want to talk to this machine ({which})")
        return TryAgain(f"{where} has no time now ({which})")
    return TryAgain(f"no conversation with the mail server {where} ({type(error).__name__})")


def _recipient(message: EmailMessage) -> str:
    """The one address of the letter; its domain in ASCII."""
    addresses = message["To"].addresses
    if len(addresses) != 1 or not addresses[0].username or not addresses[0].domain:
        raise PersonDecides("the letter needs one address that mail can be sent to")
    try:
        domain = addresses[0].domain.encode("idna").decode("ascii")
    except UnicodeError:
        raise PersonDecides("the domain of the letter's address cannot be one") from None
    return Address(username=addresses[0].username, domain=domain).addr_spec


def _with_headers(message: EmailMessage, headers: dict[str, str]) -> EmailMessage:
    """The same letter with these headers set."""
    changed = copy(message)
    for name, value in headers.items():
        del changed[name]
        changed[name] = value
    return changed


def _codes(code: int, words: bytes | str) -> str:
    """``550 5.1.1``: the reply's numbers."""
    status = re.match(r"[245]\.\d{1,3}\.\d{1,3}\b", _text(words))
    return f"{code} {status[0]}" if status else str(code)


def _text(words: bytes | str) -> str:
    text = words.decode("ascii", "replace") if isinstance(words, bytes) else words
    return " ".join(text.split())
