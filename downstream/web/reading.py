"""Reads the story out of a .docx or .pdf: a program of its own, because such files may be made to do harm.

``python -m downstream.web.reading`` takes the file on standard input and writes its text, in UTF-8, to standard output.
It ends with 0, or with 3 and a ``Refusal`` instead of the text; anything else means that the file cannot be read.
Before it looks at the file it gives up what a file could do harm with: memory, processor time, writing.
"""

from __future__ import annotations

import re
import resource
import sys
import unicodedata
from collections import Counter
from enum import StrEnum
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple
from zipfile import ZipFile

from downstream.domain.text import ends_sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lxml.etree import _Element  # type: ignore[import-untyped]
    from pypdf import PageObject, PdfReader

MAX_CHARACTERS = 400_000
"""No story is longer, by far; a file with more is not read to its end."""
REFUSED_EXIT_CODE = 3


class Refusal(StrEnum):
    """What is known to be wrong with a file that gives no text."""

    LOCKED = "locked"
    PICTURES = "pictures"
    OTHER_DOCUMENT = "other document"
    ARCHIVE = "archive"
    TOO_LARGE = "too large"


class Refused(Exception):  # noqa: N818 - named after what happened
    """The file gives no text, for a reason that can be told."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


def main() -> int:
    """Reads standard input, and returns the exit code."""
    _give_up_means()
    try:
        text = read(sys.stdin.buffer.read())
    except Refused as refused:
        sys.stdout.write(refused.refusal)
        return REFUSED_EXIT_CODE
    sys.stdout.buffer.write(text.encode("utf-8", "ignore"))  # broken fonts give halves of surrogate pairs
    return 0


def _give_up_means() -> None:
    for means, limit in (
        (resource.RLIMIT_AS, 1 << 30),
        (resource.RLIMIT_CPU, 10),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 16),  # the libraries' own modules are still to be opened, one after the other
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(means, (limit, limit))


def read(data: bytes) -> str:
    """Returns the text of a .docx (or another zip) or a .pdf; other exceptions mean that it is broken.

    Raises:
        Refused: there is none, and it can be told why.
    """
    if data.startswith(b"PK"):
        return _read_docx(data)
    return _read_pdf(data)


# --- .docx ---------------------------------------------------------------------------------------------------------

_MAX_ENTRIES = 2000
_MAX_UNPACKED_BYTES = 100_000_000
_LONGEST_VERSE = 60
# What stands in a paragraph and is not its text: deleted words, a second form of the same thing, what floats beside it,
# and the small print over a word.
_NOT_TEXT = frozenset({"del", "moveFrom", "Fallback", "drawing", "pict", "object", "rt", "instrText", "delText"})
_MARKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "\u2011", "softHyphen": "\u00ad"}


def _read_docx(data: bytes) -> str:
    _check_archive(data)
    from docx import Document

    paragraphs: list[str] = []
    length = 0
    for paragraph in _docx_paragraphs(Document(BytesIO(data)).element.body):
        paragraphs.append(paragraph)
        length += len(paragraph) + 1
        if length > MAX_CHARACTERS:
            raise Refused(Refusal.TOO_LARGE)
    return "\n\n".join(_spaced(paragraphs))


def _check_archive(data: bytes) -> None:
    """Nothing is unpacked yet: the directory says what is in it, and zipfile unpacks no more than it says."""
    with ZipFile(BytesIO(data)) as archive:
        entries = archive.infolist()
    names = {entry.filename for entry in entries}
    if len(entries) > _MAX_ENTRIES or sum(entry.file_size for entry in entries) > _MAX_UNPACKED_BYTES:
        raise Refused(Refusal.TOO_LARGE)
    if not names & {"[Content_Types].xml", "mimetype", "Index/Document.iwa"}:
        raise Refused(Refusal.ARCHIVE)
    if not any(name.startswith("word/") for name in names):
        raise Refused(Refusal.OTHER_DOCUMENT)


def _docx_paragraphs(element: _Element) -> Iterator[str]:
    """The paragraphs under ``element`` in order, those in tables and content controls too."""
    for child in element.iterchildren("{*}*"):
        name = _local_name(child)
        if name == "p":
            yield "".join(_runs(child)).strip()
        elif name not in _NOT_TEXT:
            yield from _docx_paragraphs(child)


def _runs(element: _Element) -> Iterator[str]:
    for child in element.iterchildren("{*}*"):
        name = _local_name(child)
        if name == "t":
            yield child.text or ""
        elif name in _MARKS:
            yield _MARKS[name]
        elif name not in _NOT_TEXT and not _is_hidden(child):
            yield from _runs(child)


def _local_name(element: _Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _is_hidden(run: _Element) -> bool:
    mark = run.find("{*}rPr/{*}vanish")
    return mark is not None and not set(mark.attrib.values()) & {"0", "false", "off"}


def _spaced(paragraphs: Iterable[str]) -> Iterator[str]:
    """The paragraphs as blocks: the lines of a poem, each a paragraph, stay together between the empty ones."""
    block: list[str] = []
    for paragraph in (*paragraphs, ""):
        if paragraph:
            block.append(paragraph)
            continue
        is_verse = all(len(line) <= _LONGEST_VERSE and "\n" not in line for line in block)
        yield from ["\n".join(block)] if is_verse and block else block
        block = []


# --- .pdf ----------------------------------------------------------------------------------------------------------

_FULL_LINE = 0.85  # of the usual width: a line that ends before it with room for one more word was ended on purpose
_VERSE_LINE = 0.8
_NARROWEST_PROSE = 40
_INDENT_CELLS = 2
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff]")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_WORDS = re.compile(r"[^\W\d_]+")
_HYPHENATED = re.compile(r"([^\W\d_]+)[-\u2010]\Z")
_NEVER_A_REST = frozenset({"und", "oder", "bis", "and", "or", "to", "és", "vagy", "en", "of", "og", "och", "eller"})


class _Line(NamedTuple):
    text: str
    indent: int
    """How far, in cells, its first word stands to the right of where the page's lines begin."""
    gap: int
    """Blank lines above it."""
    first_of_page: bool


def _read_pdf(data: bytes) -> str:
    from pypdf import PdfReader

    reader = PdfReader(BytesIO(data))
    if reader.is_encrypted and not _opens_without_password(reader):
        raise Refused(Refusal.LOCKED)
    pages: list[list[str]] = []
    length = 0
    for page in reader.pages:
        pages.append(_page_lines(page))
        length += sum(len(line.strip()) for line in pages[-1])
        if length > MAX_CHARACTERS:
            raise Refused(Refusal.TOO_LARGE)
    if not length:
        raise Refused(Refusal.PICTURES)
    return text_of_pages(pages)


def _opens_without_password(reader: PdfReader) -> bool:
    from pypdf.errors import DependencyError

    try:
        return bool(reader.decrypt(""))
    except DependencyError:  # the newer ciphers need a library of their own
        return False


def _page_lines(page: PageObject) -> list[str]:
    """The lines from top to bottom; blank lines and leading spaces show where white space is."""
    try:
        text = page.extract_text(extraction_mode="layout")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # fonts it cannot measure
        text = ""
    if not text.strip() or _RIGHT_TO_LEFT.search(text):
        text = page.extract_text()  # shows no white space, but turns the letters of Hebrew and Arabic round
    return text.split("\n")


def text_of_pages(pages: Sequence[Sequence[str]]) -> str:
    """The paragraphs of a document that only has lines, put together by the way the lines are set."""
    lines = list(_lines(list(_without_page_numbers(pages))))
    lengths = sorted(len(line.text) for line in lines)
    width = lengths[len(lengths) * 9 // 10] if lengths else 0
    words = {word for line in lines for word in _WORDS.findall(line.text)}
    return "\n\n".join(paragraph for block in _blocks(lines) for paragraph in _paragraphs(block, width, words))


def _without_page_numbers(pages: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """The pages without the first and last lines that most of them share, but for a number that grows with the page."""
    trimmed = ["\n".join(page).strip("\n").split("\n") for page in pages if any(map(str.strip, page))]
    for edge in (0, -1):
        keys = [_without_own_number(page[edge], number) for number, page in enumerate(trimmed)]
        shared = Counter(keys)
        for key, page in zip(keys, trimmed, strict=True):
            if len(page) > 1 and shared[key] * 2 > max(len(trimmed), 2):
                page.pop(edge)
    yield from trimmed


def _without_own_number(line: str, page_number: int) -> str:
    return re.sub("[0-9]{1,4}", lambda found: str(int(found[0]) - page_number), line.strip(), count=1)


def _lines(pages: Sequence[Sequence[str]]) -> Iterator[_Line]:
    for page in pages:
        indents = Counter(_indent(line) for line in page if line.strip())
        margin = indents.most_common(1)[0][0] if indents else 0
        gap, first_of_page = 0, True
        for line in page:
            if not line.strip():
                gap += 1
                continue
            text = unicodedata.normalize("NFC", re.sub("[ \t]+", " ", line.strip().translate(_LIGATURES)))
            yield _Line(text, _indent(line) - margin, gap, first_of_page)
            gap, first_of_page = 0, False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _blocks(lines: Sequence[_Line]) -> Iterator[list[_Line]]:
    """The lines that neither white space above nor an indented first line parts."""
    gaps = Counter(line.gap for line in lines if not line.first_of_page)
    usual_gap = gaps.most_common(1)[0][0] if gaps else 0  # more than none where the lines are set wide apart
    block: list[_Line] = []
    for line in lines:
        if block and _parts(block[-1], line, usual_gap):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _parts(before: _Line, line: _Line, usual_gap: int) -> bool:
    over = ends_sentence(before.text)
    if line.first_of_page:
        return over or line.indent >= _INDENT_CELLS
    is_indented = line.indent >= _INDENT_CELLS and (over or line.indent >= before.indent + _INDENT_CELLS)
    return line.gap > usual_gap or is_indented


def _paragraphs(block: Sequence[_Line], width: int, words: set[str]) -> list[str]:
    """The block's paragraphs: one, unless a line in it was ended on purpose; the lines of a verse stay lines."""
    texts = [line.text for line in block]
    if width < _NARROWEST_PROSE or all(len(text) <= _VERSE_LINE * width for text in texts):
        return ["\n".join(texts)]
    paragraphs = [texts[0]]
    for before, text in pairwise(texts):
        has_room = len(before) + 1 + len(text.split(" ", 1)[0]) < _FULL_LINE * width
        if has_room and not text[0].islower():
            paragraphs.append(text)
        else:
            paragraphs[-1] = _joined(paragraphs[-1], text, words)
    return paragraphs


def _joined(before: str, text: str, words: set[str]) -> str:
    """Two lines as one; a hyphen between them only goes where it was surely not the customer's."""
    if before.endswith("\u00ad"):
        return before[:-1] + text
    rest = _WORDS.match(text)
    hyphenated = _HYPHENATED.search(before)
    if hyphenated and rest and rest[0] not in _NEVER_A_REST:
        return (before[:-1] if hyphenated[1] + rest[0] in words else before) + text
    unspaced = _UNSPACED.match(before[-1]) and _UNSPACED.match(text[0])
    return before + ("" if unspaced else " ") + text


if __name__ == "__main__":
    sys.exit(main())
