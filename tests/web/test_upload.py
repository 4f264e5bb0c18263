"""Stories as files: real ones, odd ones, and ones that are made to do harm."""

# ruff: noqa: RUF001 - letters of many scripts

# ruff: noqa: RUF001 - the letters and punctuation of other scripts

from __future__ import annotations

import io
import random
import re
import resource
import struct
import subprocess
import sys
import threading
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import answering
from docx import Document
from docx.oxml import parse_xml
from pydantic import TypeAdapter
from pypdf import PdfReader, PdfWriter

from downstream.domain.story import Printable
from downstream.web import upload
from downstream.web.reading import text_of_pages
from downstream.web.upload import MAX_CHARACTERS, MAX_UPLOAD_BYTES, Unusable, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from playwright.sync_api import Browser

STORIES = Path(__file__).parent.parent / "stories"
HUNGARIAN = (STORIES / "emberi-jogok.hu.txt").read_text("utf-8").strip()


def why_not(name: str, data: bytes) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(Unusable) as refused:
        text_of(name, data)
    sentence = str(refused.value)
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert re.search("please|Please", sentence)
    return sentence


# --- text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1250", "iso8859_2"])
def test_a_text_is_read_in_whatever_encoding_it_was_saved(encoding: str) -> None:
    assert text_of("story.txt", HUNGARIAN.encode(encoding)) == HUNGARIAN


@pytest.mark.parametrize("mark", ["\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_both_byte_orders_are_read_by_their_mark(encoding: str, mark: str) -> None:
    assert text_of("story.txt", (mark + HUNGARIAN).encode(encoding)) == HUNGARIAN


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Le garçon était très fatigué ; il s’assit près de la fenêtre. « Où es-tu ? » demanda sa mère."),
        ("cp1252", "„Wie schön die Brücke ist“, sagte der Müller. Sein Großvater hatte sie über den Fluß gebaut."),
        ("cp1252", "Por la mañana el viejo bajó al río. —¡Qué bonito es el puente! —dijo, y nadie le contestó."),
        ("cp1250", "Stary młynarz poszedł rano nad rzekę, bo chciał zobaczyć most, który zbudował jego dziadek."),
        ("cp1250", "Ráno šel starý mlynář k řece, protože chtěl vidět most, který kdysi postavil jeho dědeček."),
        ("cp1254", "Sabahleyin yaşlı değirmenci nehre indi, çünkü dedesinin yaptığı köprüyü görmek istiyordu."),
        ("cp1251", "Утром старый мельник пошёл к реке, потому что хотел увидеть мост, который построил его дед."),
        ("koi8_r", "Утром старый мельник пошёл к реке, потому что хотел увидеть мост, который построил его дед."),
        ("cp1253", "Το πρωί ο γέρος μυλωνάς κατέβηκε στο ποτάμι, γιατί ήθελε να δει τη γέφυρα του παππού του."),
        ("shift_jis", "昔々、あるところにおじいさんとおばあさんが住んでいました。おじいさんは山へ行きました。"),
        ("gb18030", "早晨，老磨坊主走到河边，因为他想看看祖父从前修建的那座桥。没有人回答他，天还太早了。"),
    ],
)
def test_an_old_encoding_is_guessed_by_what_it_makes_of_the_text(encoding: str, text: str) -> None:
    assert text_of("story.txt", text.encode(encoding)) == text


def test_markdown_stays_as_it_was_written() -> None:
    written = "# The Bridge\n\n*Nobody* answered,  \nfor it was **early**.\n\n***\n\n> a quote\n\n1. one"

    assert text_of("story.md", written.encode()) == written


def test_a_name_says_nothing_about_a_text_that_is_one() -> None:
    for name in ("story", "My story. The end", "../../etc/passwd", "a\0b.txt", "", "story.TXT"):
        assert text_of(name, b"Once upon a time") == "Once upon a time"


def test_lines_end_in_one_way_and_empty_ones_do_not_pile_up() -> None:
    text = text_of(
        "story.txt", "\r\n\r\none\r\ntwo\rthree\u2028four\x0cfive\r\n \r\n\t\r\n\r\n\r\nsix\u2029seven\n".encode()
    )

    assert text == "one\ntwo\nthree\nfour\nfive\n\n\nsix\n\nseven"


def test_what_no_page_can_show_is_taken_out() -> None:
    everything = "".join(map(chr, range(0xD800))) + "".join(map(chr, range(0xE000, 0x110000, 7))) + "\ufffe\ufdd0"
    text = text_of("story.txt", (everything[:300_000] + "\U0001ffff end").encode())

    assert TypeAdapter(Printable).validate_python(text) == text
    assert text.endswith(" end")
    assert set(map(chr, range(0x20, 0x7F))) <= set(text)


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b" \r\n\t ", b"\0\0\0" + b" " * 1000])
def test_a_file_without_a_word_is_told(data: bytes) -> None:
    assert "no text" in why_not("story.txt", data)


def test_five_megabytes_are_the_most() -> None:
    assert "5 MB" in why_not("story.txt", b"x" * (MAX_UPLOAD_BYTES + 1))
    assert f"{MAX_CHARACTERS:,}" in why_not("story.txt", b"x" * MAX_UPLOAD_BYTES)


def test_a_text_may_have_so_many_characters_and_no_more() -> None:
    assert len(text_of("story.txt", "語".encode() * MAX_CHARACTERS)) == MAX_CHARACTERS
    assert "more than" in why_not("story.txt", "語".encode() * (MAX_CHARACTERS + 1))


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("story.txt", b"MZ\x90\0\x03" + bytes(range(256)) * 9, "not a text"),
        ("story.exe", b"echo hello", "not a text"),
        ("story", b"\x7fELF\x02\x01\x01" + bytes(500), "not a text"),
        ("story.txt", random.Random(1).randbytes(5000), ""),
        ("story.txt", bytes(range(32)) * 100, "not a text"),
        ("story.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000), "old kind"),
        ("locked.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000), "without a password"),
        ("story.rtf", rb"{\rtf1\ansi Once upon a time}", "save it as .docx"),
        ("story.txt", b"<!DOCTYPE html><p>Once", "web page"),
        ("story.fodt", b"<?xml version='1.0'?><office:document>", "marked-up"),
        ("story.html", b"Once upon a time<br>", "web page"),
        ("scan.jpg", b"\xff\xd8\xff\xe0" + bytes(100), "picture"),
        ("scan.pdf", b"\x89PNG\r\n\x1a\n" + bytes(100), "picture"),
        ("story.gz", b"\x1f\x8b\x08" + bytes(100), "archive"),
        ("story.docx", b"Once upon a time", "damaged"),
        ("story.pdf", b"Once upon a time", "damaged"),
    ],
)
def test_other_kinds_of_file_are_explained(name: str, data: bytes, told: str) -> None:
    assert told in why_not(name, data)


# --- Word ----------------------------------------------------------------------------------------------------------


def saved(document: Any) -> bytes:
    """The file of a Word document."""
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def docx(*paragraphs: str) -> bytes:
    """A Word file with these paragraphs."""
    document = Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    return saved(document)


WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def docx_of(inside: str) -> bytes:
    """A Word file with one paragraph of the given markup."""
    document = Document()
    document.element.body.insert(0, parse_xml(f"<w:p {WORD}>{inside}</w:p>"))
    return saved(document)


def repacked(data: bytes, **parts: str) -> bytes:
    """The Word file with other contents of its main part."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, parts["document"] if name == "word/document.xml" else old.read(name))
    return file.getvalue()


def main_part(inside: str, doctype: str = "") -> str:
    """A main part with this in its body."""
    head = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>'
    return f"{head}{doctype}<w:document {WORD}><w:body>{inside}</w:body></w:document>"


def test_a_word_file_gives_its_paragraphs() -> None:
    paragraphs = HUNGARIAN.split("\n\n")

    assert text_of("story.docx", docx(*paragraphs)) == HUNGARIAN


def test_a_word_file_is_known_by_what_it_holds() -> None:
    assert text_of("story.txt", docx("Once upon a time.")) == "Once upon a time."


def test_line_breaks_tabs_and_links_of_a_paragraph_stay() -> None:
    document = Document()
    document.add_paragraph().add_run("first\nsecond\tthird")
    link = parse_xml(f"<w:hyperlink {WORD}><w:r><w:t xml:space='preserve'> and a link</w:t></w:r></w:hyperlink>")
    document.paragraphs[0]._p.append(link)

    assert text_of("story.docx", saved(document)) == "first\nsecond\tthird and a link"


def test_the_lines_of_a_poem_stay_together() -> None:
    verses = ("I walked in the wood", "for no reason at all", "", "and to look for nothing", "was all my intent")
    prose = "And then came a long line of prose, far longer than any verse would be, and it is a paragraph."
    text = text_of("story.docx", docx(*verses, "", prose, "Short."))

    assert text == (
        f"I walked in the wood\nfor no reason at all\n\nand to look for nothing\nwas all my intent\n\n{prose}\n\nShort."
    )


def test_tables_are_read_where_they_stand_and_each_cell_once() -> None:
    document = Document()
    document.add_paragraph("This stands before the table, and is long enough to be a paragraph of prose.")
    table = document.add_table(rows=2, cols=2)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "merged"
    table.cell(1, 0).text = "left"
    table.cell(1, 1).add_table(rows=1, cols=1).cell(0, 0).text = "inner"
    document.add_paragraph("This stands after the table.")
    words = text_of("story.docx", saved(document)).split()

    assert [word for word in words if word in {"before", "merged", "left", "inner", "after"}] == [
        "before", "merged", "left", "inner", "after",
    ]  # fmt: skip


def test_headers_footers_and_comments_are_left_out() -> None:
    document = Document()
    document.sections[0].header.paragraphs[0].text = "HEADER"
    document.sections[0].footer.paragraphs[0].text = "FOOTER"
    document.add_comment(document.add_paragraph("The story.").runs, text="COMMENT")

    assert text_of("story.docx", saved(document)) == "The story."


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("<w:r><w:t>kept</w:t></w:r><w:del><w:r><w:delText> gone</w:delText></w:r></w:del>", "kept"),
        ("<w:moveFrom><w:r><w:t>gone</w:t></w:r></w:moveFrom><w:moveTo><w:r><w:t>here</w:t></w:r></w:moveTo>", "here"),
        ("<w:r><w:t>old</w:t></w:r><w:ins><w:r><w:t>new</w:t></w:r></w:ins>", "oldnew"),
        ("<w:sdt><w:sdtContent><w:r><w:t>controlled</w:t></w:r></w:sdtContent></w:sdt>", "controlled"),
        ("<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r><w:r><w:t>seen</w:t></w:r>", "seen"),
        ("<w:r><w:rPr><w:vanish w:val='0'/></w:rPr><w:t>seen</w:t></w:r>", "seen"),
        ("<w:r><w:instrText>PAGE</w:instrText></w:r><w:fldSimple><w:r><w:t>7</w:t></w:r></w:fldSimple>", "7"),
        (
            "<w:r><w:ruby><w:rt><w:r><w:t>かん</w:t></w:r></w:rt><w:rubyBase><w:r><w:t>漢</w:t></w:r></w:rubyBase></w:ruby></w:r>",
            "漢",
        ),
        ("<w:r><w:t>e</w:t><w:noBreakHyphen/><w:t>mail</w:t></w:r>", "e\u2011mail"),
        ("<w:r><w:t>a</w:t></w:r><w:r><w:t xml:space='preserve'> </w:t></w:r><w:r><w:t>b</w:t></w:r>", "a b"),
        ("<w:smartTag><w:r><w:t>Berlin</w:t></w:r></w:smartTag>", "Berlin"),
    ],
)
def test_what_the_reader_of_a_word_file_sees_is_its_text(inside: str, text: str) -> None:
    assert text_of("story.docx", docx_of(inside)) == text


def test_a_word_file_without_text_is_told() -> None:
    assert "no text" in why_not("story.docx", docx("", "  "))


def test_a_word_file_with_a_library_in_it_is_told() -> None:
    assert "more than" in why_not("story.docx", docx("x" * MAX_CHARACTERS, "y"))


def zipped(entries: dict[str, str | bytes]) -> bytes:
    """A zip with these entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


CONTENT_TYPES = "[Content_Types].xml"


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"story.txt": "Once upon a time"}, "unpack"),
        ({"story.docx": docx("inside")}, "unpack"),
        ({}, "unpack"),
        ({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "<x/>"}, "save it as .docx"),
        ({"mimetype": "application/epub+zip"}, "save it as .docx"),
        ({"Index/Document.iwa": "?"}, "save it as .docx"),
        ({CONTENT_TYPES: "<x/>", "xl/workbook.xml": "<x/>"}, "save it as .docx"),
        ({CONTENT_TYPES: "<x/>", "word/document.xml": "<x/>"}, "cannot be read"),
    ],
    ids=["zip", "zip with a Word file", "empty zip", "odt", "epub", "pages", "xlsx", "next to nothing"],
)
def test_other_archives_are_explained(entries: dict[str, str | bytes], told: str) -> None:
    assert told in why_not("story.docx", zipped(entries))


UNREADABLE = "cannot be read"


def test_a_bomb_that_says_how_large_it_is_is_not_unpacked() -> None:
    bomb = repacked(docx("x"), document=main_part("<w:p/>" + " " * 150_000_000))

    assert "far more than a story" in why_not("story.docx", bomb)


def test_a_bomb_that_lies_about_its_size_does_not_go_off() -> None:
    bomb = bytearray(repacked(docx("x"), document=main_part("<w:p/>" + " " * 90_000_000)))
    true_size = struct.pack("<L", len(main_part("<w:p/>")) + 90_000_000)
    assert bomb.count(true_size) == 2
    lying = bytes(bomb).replace(true_size, struct.pack("<L", 2000))

    assert UNREADABLE in why_not("story.docx", lying)


def test_entries_that_share_their_bytes_do_not_multiply() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CONTENT_TYPES, "<x/>")
        archive.writestr("word/document.xml", b" " * 10_000_000)
        for number in range(500):
            again = zipfile.ZipInfo(f"word/{number}.xml")
            for field in ("header_offset", "compress_type", "CRC", "compress_size", "file_size"):
                setattr(again, field, getattr(archive.filelist[1], field))
            archive.filelist.append(again)

    assert "far more than a story" in why_not("story.docx", file.getvalue())


def test_thousands_of_entries_are_not_looked_through() -> None:
    many = zipped({CONTENT_TYPES: "<x/>", **{f"word/{number}": "" for number in range(5000)}})

    assert "far more than a story" in why_not("story.docx", many)


def test_entities_that_grow_do_not_go_off() -> None:
    levels = "".join(f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 10))
    doctype = f'<!DOCTYPE bomb [<!ENTITY a0 "ha">{levels}]>'
    bomb = repacked(docx("x"), document=main_part("<w:p><w:r><w:t>&a9;</w:t></w:r></w:p>", doctype))

    assert why_not("story.docx", bomb)


def test_an_entity_outside_is_not_fetched(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the house's secret")
    doctype = f'<!DOCTYPE d [<!ENTITY e SYSTEM "{secret.as_uri()}">]>'
    nosy = repacked(docx("x"), document=main_part("<w:p><w:r><w:t>Once&e;</w:t></w:r></w:p>", doctype))

    assert text_of("story.docx", nosy) == "Once"


def test_a_word_file_of_endless_depth_does_no_harm() -> None:
    deep = main_part("<w:tbl>" * 100_000 + "</w:tbl>" * 100_000)

    assert UNREADABLE in why_not("story.docx", repacked(docx("x"), document=deep))


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.99])
def test_half_a_word_file_is_told(keep: float) -> None:
    whole = docx(*HUNGARIAN.split("\n"))

    assert UNREADABLE in why_not("story.docx", whole[: int(len(whole) * keep)])


# --- PDF -----------------------------------------------------------------------------------------------------------


def pdf(*objects: bytes, root: int = 1, trailer: bytes = b"") -> bytes:
    """A PDF of these objects, numbered from 1."""
    file = b"%PDF-1.7\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer\n<< /Size %d /Root %d 0 R %b >>\n" % (len(objects) + 1, root, trailer)
    return file + head + table + tail + b"startxref\n%d\n%%%%EOF\n" % len(file)


def stream(content: bytes, more: bytes = b"") -> bytes:
    """A stream object."""
    return b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(content), more, content)


FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"


def pdf_of_pages(*contents: bytes) -> bytes:
    """A PDF of one page for each content stream, with one font, F1."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * number) for number in range(len(contents)))
    objects = [CATALOG, b"<< /Type /Pages /Count %d /Kids [%b] >>" % (len(contents), kids), FONT]
    for number, content in enumerate(contents):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * number)
        )
        objects.append(stream(content))
    return pdf(*objects)


def set_lines(lines: Sequence[tuple[float, float, str]]) -> bytes:
    """Lines of text at places on a page, in points from the lower left."""
    shown = b"".join(
        b"1 0 0 1 %.1f %.1f Tm (%b) Tj\n" % (x, y, re.sub(rb"([()\\])", rb"\\\1", text.encode("cp1252")))
        for x, y, text in lines
    )
    return b"BT /F1 11 Tf\n" + shown + b"ET"


def set_text(lines: Sequence[str], *, top: float = 780, leading: float = 14) -> bytes:
    """Lines below each other; an empty one is white space."""
    places = [
        (72 + 12 * line.startswith("\t"), top - leading * number, line.strip()) for number, line in enumerate(lines)
    ]
    return set_lines([place for place in places if place[2]])


def test_a_pdf_gives_its_text_whatever_it_is_called() -> None:
    data = pdf_of_pages(set_text(["The old miller went down to the river."]))

    assert text_of("story.pdf", data) == text_of("story.txt", data) == "The old miller went down to the river."


def test_a_pdf_may_begin_a_little_later() -> None:
    assert text_of("story.pdf", b"\r\n junk \r\n" + pdf_of_pages(set_text(["Once."]))) == "Once."


LONG = [
    "In the morning the old miller went down to the river, because he wanted",
    "to see the bridge which his grandfather had built a very long time ago.",
    "Nobody answered him, for it was early, and the birds were still asleep in",
    "the trees.",
]
TOLD = " ".join(LONG)


def test_lines_of_a_paragraph_are_joined_and_white_space_parts_them() -> None:
    assert text_of("s.pdf", pdf_of_pages(set_text([*LONG, "", *LONG]))) == f"{TOLD}\n\n{TOLD}"


def test_an_indented_first_line_begins_a_paragraph() -> None:
    indented = ["\t" + LONG[0], *LONG[1:]]

    assert text_of("s.pdf", pdf_of_pages(set_text([*LONG, *indented, *indented]))) == "\n\n".join([TOLD] * 3)


def test_a_short_last_line_ends_a_paragraph() -> None:
    assert text_of("s.pdf", pdf_of_pages(set_text([*LONG, *LONG]))) == f"{TOLD}\n\n{TOLD}"


def test_double_spaced_lines_are_no_paragraphs() -> None:
    assert text_of("s.pdf", pdf_of_pages(set_text([*LONG, *LONG], leading=30))) == f"{TOLD}\n\n{TOLD}"


def test_the_lines_of_a_verse_stay_lines() -> None:
    verse = ["I walked in the wood", "for no reason at all,", "and to look for nothing", "was all my intent."]
    text = text_of("s.pdf", pdf_of_pages(set_text([*LONG, "", *verse, "", *LONG])))

    assert text == "\n\n".join([TOLD, "\n".join(verse), TOLD])


def test_a_new_page_does_not_break_a_sentence() -> None:
    pages = [set_text([*LONG, "", *LONG[:2]]), set_text(LONG[2:])]
    broken = [set_text(LONG[:1]), set_text(LONG[1:])]

    assert text_of("s.pdf", pdf_of_pages(*broken)) == TOLD
    assert text_of("s.pdf", pdf_of_pages(*pages)).startswith(TOLD)


def test_page_numbers_and_running_titles_are_left_out() -> None:
    pages = [
        set_lines([(250, 820, "The Bridge"), (290, 40, f"- {number} -")]) + b"\n" + set_text(LONG[:3])
        for number in (1, 2, 3)
    ]
    text = text_of("s.pdf", pdf_of_pages(*pages))

    assert "Bridge" not in text
    assert re.findall("[0-9]", text) == []
    assert text.count("grandfather") == 3


def test_words_that_are_only_moved_apart_are_told_apart() -> None:
    content = b"BT /F1 11 Tf 1 0 0 1 72 700 Tm [(The)-333(old)-333(mill)20(er)-333(w)30(ent)] TJ ET"

    assert text_of("s.pdf", pdf_of_pages(content)) == "The old miller went"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (("Er stand auf der Brü\u00ad", "cke und wartete dort."), "Er stand auf der Brücke und wartete dort."),
        (
            ("Die Brücke war alt. Er stand auf der Brü-", "cke dort."),
            "Die Brücke war alt. Er stand auf der Brücke dort.",
        ),
        (("He was a well-", "known man of the town."), "He was a well-known man of the town."),
        (("Er war mit den Vor-", "und Nachteilen vertraut."), "Er war mit den Vor- und Nachteilen vertraut."),
        (("昨日は雨が降りました。", "今日は晴れです。"), "昨日は雨が降りました。今日は晴れです。"),
    ],
    ids=["soft hyphen", "known word", "compound", "elision", "no spaces"],
)
def test_lines_are_joined_as_they_were_parted(lines: tuple[str, str], text: str) -> None:
    full_line = "x" * 45 + " " + lines[0]

    assert text_of_pages([[full_line, lines[1]]]).endswith(text)


def test_ligatures_are_letters() -> None:
    assert text_of_pages([["eﬃcient ﬂowers of the ﬁrst oﬀer"]]) == "efficient flowers of the first offer"


@pytest.fixture(scope="module")
def printed(browsers: Callable[[], Browser]) -> Callable[[str, str], bytes]:
    """Prints paragraphs from a real browser."""

    def print_to_pdf(text: str, style: str) -> bytes:
        paragraphs = "".join(f"<p>{paragraph}</p>" for paragraph in text.split("\n\n"))
        with answering(browsers()), browsers().new_page() as page:
            page.set_content(f"<html lang=hu><style>@page{{size:A5;margin:2cm}}{style}</style>{paragraphs}")
            return page.pdf(prefer_css_page_size=True)

    return print_to_pdf


@pytest.mark.parametrize(
    "style",
    ["body{font:11pt serif}", "body{font:12pt/1.6 sans-serif;text-align:justify}"],
    ids=["like a web page", "like a manuscript"],
)
def test_a_story_printed_to_pdf_is_the_story_again(printed: Callable[[str, str], bytes], style: str) -> None:
    data = printed(HUNGARIAN, style)
    text = text_of("story.pdf", data)

    assert len(PdfReader(io.BytesIO(data)).pages) > 3
    assert text.split() == HUNGARIAN.split()
    assert agreement(text, HUNGARIAN) > 0.95


def agreement(text: str, story: str) -> float:
    """How many of a story's paragraphs are found as they are."""
    paragraphs = story.split("\n\n")
    return sum(paragraph in text.split("\n\n") for paragraph in paragraphs) / len(paragraphs)


def test_pictures_of_pages_are_told() -> None:
    assert "pictures of pages" in why_not("scan.pdf", pdf_of_pages(b"q 595 0 0 842 0 0 cm /Im1 Do Q"))


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_a_locked_pdf_is_told_and_one_that_only_forbids_printing_is_read(algorithm: str) -> None:
    def locked(password: str) -> bytes:
        writer = PdfWriter(clone_from=io.BytesIO(pdf_of_pages(set_text(["Once upon a time."]))))
        writer.encrypt(user_password=password, owner_password="the owner's", algorithm=algorithm)  # noqa: S106
        return saved_by(writer)

    assert "password" in why_not("s.pdf", locked("planted"))
    assert text_of("s.pdf", locked("")) == "Once upon a time."


def saved_by(writer: PdfWriter) -> bytes:
    """The file a writer writes."""
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


ZEROS = zlib.compress(bytes(300_000_000), 9)
TREE = b"<< /Type /Pages /Count 1 /Kids [5 0 R] >>"
ONE_PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /Font << /F1 3 0 R >> >> >>"


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n",
        b"%PDF-1.7\n" + random.Random(2).randbytes(20_000),
        pdf(CATALOG, b"<< /Type /Pages /Count 1 /Kids [2 0 R] >>"),
        pdf(CATALOG, b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>", b"<< /Type /Pages /Count 1 /Kids [2 0 R 3 0 R] >>"),
        pdf(b"<< /Type /Catalog /Pages 1 0 R >>"),
        pdf(b"1 0 R"),
        pdf(CATALOG, b"<< /Type /Pages /Count 2000000000 /Kids [] >>"),
        pdf(
            CATALOG,
            b"<< /Type /Pages /Count 1 /Kids [5 0 R] >>",
            FONT,
            stream(ZEROS, b"/Filter /FlateDecode"),
            ONE_PAGE,
        ),
        pdf(CATALOG, b"<< /Type /Pages /Count 1 /Kids [5 0 R] >>", FONT, stream(b"[" * 200_000), ONE_PAGE),
        pdf(CATALOG, TREE, FONT, stream(b"q " * 200_000), ONE_PAGE),
        pdf(CATALOG, b"[" * 100_000 + b"]" * 100_000),
        pdf(CATALOG, b"<< /Type /Pages /Count 0 /Kids [] >>", trailer=b"/Prev 9"),
    ],
    ids=[
        "nothing", "noise", "a tree that is its own branch", "a loop of branches", "a catalog that is a tree",
        "a reference to itself", "two thousand million pages", "an enormous stream", "deep brackets", "many operators",
        "deep arrays", "tables in a loop",
    ],
)  # fmt: skip
def test_a_pdf_that_is_broken_or_made_to_do_harm_is_told(data: bytes) -> None:
    assert why_not("s.pdf", data)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_half_a_pdf_is_read_or_told(keep: float) -> None:
    whole = pdf_of_pages(*[set_text(LONG)] * 3)
    try:
        outcome = text_of("s.pdf", whole[: int(len(whole) * keep)])
    except Unusable as told:
        outcome = str(told)

    assert "miller" in outcome or "paste the text" in outcome


def test_a_pdf_with_a_library_in_it_is_told() -> None:
    page = set_text(["The old miller went down to the river, to see the bridge. " * 2] * 50)

    assert "more than" in why_not("s.pdf", pdf_of_pages(*[page] * 80))


# --- the process apart ---------------------------------------------------------------------------------------------


@pytest.fixture
def reader_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script in the place of Python, as if a file had taken the reader over."""

    def replace(script: str) -> None:
        program = tmp_path / "program"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(program))

    return replace


def test_the_reader_gives_up_memory_time_and_writing() -> None:
    script = """
import resource
from downstream.web.reading import _give_up_means
_give_up_means()
print(*(resource.getrlimit(means)[1] for means in (
    resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)))
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    limits = list(map(int, answer.stdout.split()))

    assert limits == [1 << 30, 10, 0, 16, 0]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] != 0


def test_the_reader_is_not_given_the_houses_secrets(
    reader_program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_planted")
    reader_program("env; echo $*")
    told = text_of("s.pdf", b"%PDF-1.7")

    assert "PATH=" in told
    assert told.endswith("-m downstream.web.reading")
    assert "planted" not in told


@pytest.mark.parametrize(
    "script",
    ["exit 1", "kill -9 $$", "exec yes", "exec sleep 60", "echo nonsense; exit 3", "printf '\\377'", "exit 3"],
)
def test_a_reader_that_fails_in_whatever_way_is_survived(
    reader_program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(upload, "_READING_SECONDS", 2.0)
    reader_program(script)

    assert UNREADABLE in why_not("s.pdf", b"%PDF-1.7")


def test_two_files_are_read_at_once_and_a_third_is_asked_to_wait(
    reader_program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(upload, "_QUEUE_SECONDS", 0.1)
    gate = tmp_path / "gate"
    reader_program(f'touch "{tmp_path}/started-$$"; while [ ! -e "{gate}" ]; do sleep 0.02; done; echo done')
    read: list[str] = []
    readers = [threading.Thread(target=lambda: read.append(text_of("s.pdf", b"%PDF-1.7"))) for _ in range(2)]
    for reader in readers:
        reader.start()
    while len(list(tmp_path.glob("started-*"))) < 2:
        readers[0].join(0.02)

    assert "try again" in why_not("third.pdf", b"%PDF-1.7")
    gate.touch()
    for reader in readers:
        reader.join()
    assert text_of("fourth.txt", b"a text needs no reader") == "a text needs no reader"
