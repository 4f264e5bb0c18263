"""The plain text of a story that was handed in as a file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import PurePath
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from downstream.web.language import detect
from downstream.web.reading import MAX_CHARACTERS, REFUSED_EXIT_CODE, Refusal

__all__ = ["MAX_CHARACTERS", "MAX_UPLOAD_BYTES", "Unusable", "text_of"]

MAX_UPLOAD_BYTES = 5_000_000

_AT_ONCE = 2
_QUEUE_SECONDS = 5.0
_READING_SECONDS = 20.0
_MAX_OUTPUT_BYTES = 12 * MAX_CHARACTERS  # the longest characters, each a paragraph
_NEEDED_BY_PYTHON = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")


class Unusable(Exception):  # noqa: N818 - named after what the file is
    """The file gives no story; the text is one sentence for the customer: what is wrong and what to do."""


_UNREADABLE = "This file cannot be read; please paste the text instead."
_BUSY = "We are reading other stories just now; please try again in a moment, or paste the text."
_TOO_LARGE = "This file is too large (5 MB at most); please paste the text instead."
_TOO_LONG = f"This file holds far more than a story (more than {MAX_CHARACTERS:,} characters); please paste the story."
_EMPTY = "There is no text in this file; please choose another one or paste the text."
_PROGRAM = "This file is not a text; please choose a .txt, .md, .docx or .pdf file, or paste the text."
_OLD_WORD = "This is a Word file of the old kind or a locked one; please save it as .docx without a password."
_OTHER_DOCUMENT = "We cannot read this kind of document; please save it as .docx or .pdf, or paste the text."
_WEB_PAGE = "This is a web page or other marked-up text, not plain text; please paste the text instead."
_DAMAGED = "This file is damaged or is not what its name says; please save it again or paste the text."
_ARCHIVE = "This is an archive; please unpack it and choose the story itself."
_PICTURE = "This file is a picture; please paste the text instead."

_SENTENCES = {
    Refusal.LOCKED: "This PDF is locked with a password; please save it without one or paste the text.",
    Refusal.PICTURES: "This PDF holds pictures of pages, not text; please paste the text instead.",
    Refusal.OTHER_DOCUMENT: _OTHER_DOCUMENT,
    Refusal.ARCHIVE: _ARCHIVE,
    Refusal.TOO_LARGE: _TOO_LONG,
}

# What files of other kinds begin with.
_KNOWN_BEGINNINGS = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OLD_WORD),
    (b"{\\rtf", _OTHER_DOCUMENT),
    (b"%!PS", _OTHER_DOCUMENT),
    (b"MZ", _PROGRAM),
    (b"\x7fELF", _PROGRAM),
    (b"\x1f\x8b", _ARCHIVE),
    (b"Rar!\x1a\x07", _ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", _ARCHIVE),
    (b"\xff\xd8\xff", _PICTURE),
    (b"\x89PNG\r\n", _PICTURE),
    (b"GIF8", _PICTURE),
    (b"II*\0", _PICTURE),
    (b"MM\0*", _PICTURE),
)
_MARKUP = re.compile(rb"\s*<(?:!doctype|html|\?xml|head|body|svg)\b", re.IGNORECASE)
# What a file that looks like text is called when it is something else.
_OTHER_EXTENSIONS = {
    **dict.fromkeys((".docx", ".pdf", ".doc"), _DAMAGED),
    **dict.fromkeys((".odt", ".rtf", ".pages", ".epub", ".tex"), _OTHER_DOCUMENT),
    **dict.fromkeys((".htm", ".html", ".xml"), _WEB_PAGE),
    **dict.fromkeys((".exe", ".com", ".dll", ".bin"), _PROGRAM),
    **dict.fromkeys((".zip", ".rar", ".7z", ".gz"), _ARCHIVE),
}

_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# The encodings from before Unicode, by the languages they were made for; the rest used the first.
_WESTERN = "cp1252"
_OLD_ENCODINGS = {
    "hu pl cs sk sl hr bs ro sr-Latn sq": "cp1250 iso8859_2",
    "tr az": "cp1254",
    "et lv lt": "cp1257",
    "vi": "cp1258",
    "ru uk be bg mk sr mn kk": "cp1251 koi8_r koi8_u cp866 iso8859_5",
    "el": "cp1253 iso8859_7",
    "he": "cp1255",
    "ar fa ur": "cp1256",
    "th": "cp874",
    "ja": "shift_jis euc_jp",
    "ko": "euc_kr",
    "zh-Hans": "gb18030",
    "zh-Hant": "big5",
}
_ENCODINGS_OF = {language: homes.split() for group, homes in _OLD_ENCODINGS.items() for language in group.split()}

_LINE_ENDS = re.compile("\r\n|[\r\n\v\f\x85\u2028]")
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n){3,}")
# What no page can show (``Printable`` of the story) and is not one of those, and the mark of the byte order.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufeff"
    + "".join(chr(plane + low) for plane in range(0, 0x110000, 0x10000) for low in (0xFFFE, 0xFFFF))
    + "]"
)
_MOST_UNPRINTABLE = 0.01  # more of it is no text

_readers = threading.BoundedSemaphore(_AT_ONCE)


def text_of(name: str, data: bytes) -> str:
    """Returns the text of an uploaded story (.txt, .md, .docx, .pdf), its lines ended by newlines, fit to be shown.

    What the file holds decides, not its name. Word and PDF files are read in a process of their own.

    Raises:
        Unusable: it gives no story.
    """
    if len(data) > MAX_UPLOAD_BYTES:
        raise Unusable(_TOO_LARGE)
    text = _tidy(_read_apart(data) if _is_document(data) else _read_plain(name, data))
    if not text:
        raise Unusable(_EMPTY)
    if len(text) > MAX_CHARACTERS:
        raise Unusable(_TOO_LONG)
    return text


def _is_document(data: bytes) -> bool:
    """A zip, as .docx is, or a PDF, which may begin a little later (ISO 32000, "File header")."""
    return data.startswith((b"PK\x03\x04", b"PK\x05\x06")) or b"%PDF-" in data[:1024]


def _read_plain(name: str, data: bytes) -> str:
    for beginning, sentence in _KNOWN_BEGINNINGS:
        if data.startswith(beginning):
            raise Unusable(sentence)
    if _MARKUP.match(data):
        raise Unusable(_WEB_PAGE)
    extension = PurePath(name).suffix.lower()
    if data and extension in _OTHER_EXTENSIONS:
        raise Unusable(_OTHER_EXTENSIONS[extension])
    if len(data) > 4 * MAX_CHARACTERS:
        raise Unusable(_TOO_LONG)
    text = _decoded(data)
    if len(_UNPRINTABLE.findall(text)) > _MOST_UNPRINTABLE * len(text):
        raise Unusable(_PROGRAM)
    return text


def _decoded(data: bytes) -> str:
    encoding = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return _guessed(data)


def _guessed(data: bytes) -> str:
    """The text in the likeliest encoding from before Unicode: one that was made for the language this makes it."""
    from charset_normalizer import from_bytes

    encodings = [_WESTERN, *(one for homes in _OLD_ENCODINGS.values() for one in homes.split())]
    guesses = from_bytes(data, cp_isolation=encodings)
    for guess in guesses:
        homes = _ENCODINGS_OF.get(detect(str(guess)), [_WESTERN])
        if not set(homes).isdisjoint(guess.could_be_from_charset):
            return str(guess)
    raise Unusable(_UNREADABLE)


def _tidy(text: str) -> str:
    lines = _LINE_ENDS.sub("\n", text.replace("\u2029", "\n\n"))
    return _BLANK_LINES.sub("\n\n\n", _UNPRINTABLE.sub("", lines)).strip()


def _read_apart(data: bytes) -> str:
    if not _readers.acquire(timeout=_QUEUE_SECONDS):
        raise Unusable(_BUSY)
    try:
        with TemporaryFile() as file:
            file.write(data)
            file.seek(0)
            exit_code, output = _run_reader(file)
    finally:
        _readers.release()
    try:
        if exit_code == REFUSED_EXIT_CODE:
            raise Unusable(_SENTENCES[Refusal(output.decode())])
        if exit_code == 0:
            return output.decode()
    except ValueError:
        pass  # it was made to say something else
    raise Unusable(_UNREADABLE)


def _run_reader(file: BinaryIO) -> tuple[int, bytes]:
    """The exit code and the output of ``downstream.web.reading``, which is ended when it takes or says too much."""
    with subprocess.Popen(
        [sys.executable, "-m", "downstream.web.reading"],
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in _NEEDED_BY_PYTHON if name in os.environ},
        cwd="/",
    ) as reader:
        end = threading.Timer(_READING_SECONDS, reader.kill)
        end.start()
        try:
            output = cast("BinaryIO", reader.stdout).read(_MAX_OUTPUT_BYTES + 1)
            if len(output) > _MAX_OUTPUT_BYTES:
                reader.kill()
            return reader.wait(), output
        finally:
            end.cancel()
