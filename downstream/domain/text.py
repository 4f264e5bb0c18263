"""How a story's text is built: its blocks, told apart by their shape, and where its sentences begin."""

# ruff: noqa: RUF001 - the punctuation of every script is what this module is about

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby, pairwise
from typing import TYPE_CHECKING
from unicodedata import category, combining, east_asian_width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class BlockKind(StrEnum):
    """What a block is, seen from its shape alone."""

    PROSE = "prose"
    DIALOGUE = "dialogue"
    VERSE = "verse"
    HEADING = "heading"
    BREAK = "break"


@dataclass(frozen=True, slots=True)
class Block:
    """``text[start:end]``: one paragraph, verse, heading or scene break, without the white space around it."""

    start: int
    end: int
    kind: BlockKind


# Widths are counted in cells as a terminal has them: two for a wide character, so that one limit fits every script.
_VERSE_CELLS = 60  # a longer line is neither verse nor heading
_WRAPPED_CELLS = (50, 100)  # hand-wrapped text is as wide as this; a longer line is a paragraph of its own
_HEADING_WORDS = 10
_HEADINGS_IN_A_ROW = 2  # more of them in the middle of a text are a sign or a list, not headings
_HEADINGS_AT_THE_START = 4  # title, author, part, chapter

_LINE = re.compile(r"\S[^\n\r\u2028\u2029]*")
_OPENING_QUOTES = '"“”„‟‘‚«»‹›「『〝｢＂'  # Swedish and Finnish open with ”, German and Danish with »
_CLOSING_QUOTES = '"“”‘’«»‹›」』〞〟｣＂'
_SENTENCE_ENDS = ".!?…。！？｡．।॥۔؟።፧။។៕།༎։᠃"
_WITHOUT_SPACE = frozenset("。！？｡．")
_OTHER_ENDS = ",;:，；：、،؛၊–—-"
_CLOSERS = _CLOSING_QUOTES + "')]）】》〉*_"
_INVISIBLE = "\ufeff\u200b\u200e\u200f\u202a\u202b\u2066\u2067\u2068"

_SPEECH = re.compile(rf"[{_OPENING_QUOTES}]|[-–—―]\s|[—―][\w¿¡]|'(?=.*[,.!?…—-]')")
_SENTENCE_END = re.compile(f"[{re.escape(_SENTENCE_ENDS)}]+[{re.escape(_CLOSERS)}]*")
_ABBREVIATION = re.compile(
    r"(?<!\w)(?:\w|[0-9]{2}|Mrs?|Ms|Dr|St|Prof|Sr|Jr|No|Nr|Fr|Frl|Hr|Mme|Mlle|Sra?|Dra?|Don)\.\Z"
)
_ORNAMENTS = frozenset("*＊#＃•·⁂⁑※§¶†‡⁕/\\~")
_ORNAMENT_CATEGORIES = frozenset({"Sm", "So", "Sk", "Sc", "Pd", "Pc", "Cf", "Mn"})
_SPACED_DOTS = re.compile(r"[.…](?:\s+[.…])+\Z")
_NUMBER_ALONE = re.compile(r"(?:[0-9]+|[IVXLCDM]+)[.):]?\Z|[^\s.]+\s[0-9]+[.:]?\Z|[A-Z]+\s[IVXLCDM]+[.:]?\Z")
_NUMBER_FIRST = re.compile(r"[0-9]+[.)]\s")
_SPACE = re.compile(r"\s+")


def blocks(text: str) -> tuple[Block, ...]:
    """The blocks of ``text`` in order; what lies between them is white space only."""
    return tuple(_with_headings(text, list(_paragraphs(text))))


def sentence_starts(text: str, start: int, end: int) -> Iterator[int]:
    """Where sentences after the first begin between ``start`` and ``end``, as the script ends its sentences."""
    for found in _SENTENCE_END.finditer(text, start, end):
        space = _SPACE.match(text, found.end(), end)
        position = space.end() if space else found.end()
        if position < end and _begins_sentence(text, found, position) and is_clean_cut(text, position):
            yield position


def is_clean_cut(text: str, position: int) -> bool:
    """No character as the reader sees it is torn apart by a cut before ``text[position]``.

    A little stricter than Unicode's extended grapheme clusters (UAX 29): between two flags it says no as well.
    """
    if not 0 < position < len(text):
        return True
    before, after = text[position - 1], text[position]
    return not (
        category(after) in {"Mn", "Mc", "Me", "Cf"}
        or before == "\u200d"  # joins emoji
        or combining(before) == 9  # a virama binds the consonant that follows
        or (before == "\r" and after == "\n")
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # skin tones
        or ("\U0001f1e6" <= before <= "\U0001f1ff" and "\U0001f1e6" <= after <= "\U0001f1ff")  # halves of flags
        or "\u1160" <= after <= "\u11ff"  # Hangul spelled in parts
        or after in "\u0e33\u0eb3"  # Thai and Lao am
        or "\u0e40" <= before <= "\u0e44"  # Thai and Lao vowels that stand before their consonant
        or "\u0ec0" <= before <= "\u0ec4"
    )


def ends_sentence(passage: str) -> bool:
    """``passage`` ends as a finished sentence does."""
    return passage.rstrip().rstrip(_CLOSERS).endswith(tuple(_SENTENCE_ENDS))


def _begins_sentence(text: str, end_mark: re.Match[str], position: int) -> bool:
    if position == end_mark.end():
        # After 「…。」 the sentence mostly goes on (“he said”); after a bare full stop it does not.
        return end_mark[0][-1] in _WITHOUT_SPACE or (
            not _WITHOUT_SPACE.isdisjoint(end_mark[0]) and text[position] in _OPENING_QUOTES
        )
    abbreviated = end_mark[0] == "." and _ABBREVIATION.search(text, max(0, end_mark.start() - 6), end_mark.end())
    return not abbreviated and not text[position].islower()


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str
    kind: BlockKind
    after_blank: bool


def _paragraphs(text: str) -> Iterator[Block]:
    lines = list(_lines(text))
    has_blank_lines = any(line.after_blank for line in lines)
    for group in _groups(lines):
        kind = _common_kind([line.text for line in group]) if has_blank_lines and len(group) > 1 else None
        if kind:
            yield Block(group[0].start, group[-1].end, kind)
        else:
            yield from (Block(line.start, line.end, line.kind) for line in group)


def _groups(lines: Sequence[_Line]) -> Iterator[list[_Line]]:
    """The lines that neither a blank line nor an ornament parts."""
    group: list[_Line] = []
    for line in lines:
        if group and (line.after_blank or BlockKind.BREAK in (line.kind, group[-1].kind)):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _lines(text: str) -> Iterator[_Line]:
    previous_end = 0
    for found in _LINE.finditer(text):
        visible = found[0].rstrip()
        start, end = found.start(), found.start() + len(visible)
        yield _Line(start, end, visible, _kind(visible), previous_end > 0 and _is_blank(text[previous_end:start]))
        previous_end = end


def _is_blank(gap: str) -> bool:
    """There is an empty line in the white space between two lines (U+2029 is one by itself)."""
    line_ends = gap.replace("\r\n", "\n")
    return "\u2029" in gap or sum(line_ends.count(line_end) for line_end in "\n\r\u2028") > 1


def _kind(line: str) -> BlockKind:
    if _is_ornament(line):
        return BlockKind.BREAK
    return BlockKind.DIALOGUE if _SPEECH.match(line.lstrip(_INVISIBLE)) else BlockKind.PROSE


def _is_ornament(line: str) -> bool:
    marks = all(
        character in _ORNAMENTS or category(character) in _ORNAMENT_CATEGORIES or character.isspace()
        for character in line
    )
    return marks or bool(_SPACED_DOTS.match(line))


def _common_kind(lines: Sequence[str]) -> BlockKind | None:
    """What the lines are together: verse or one hand-wrapped paragraph; None when each is a paragraph."""
    if any(_is_whole_speech(line) for line in lines):
        return None
    width = max(_cells(line) for line in lines)
    if _is_wrapped(lines, width):
        return _kind(lines[0])
    return BlockKind.VERSE if width <= _VERSE_CELLS else None


def _is_whole_speech(line: str) -> bool:
    """A line that opens a dialogue and ends it; a quoted verse only opens it."""
    visible = line.lstrip(_INVISIBLE)
    return bool(_SPEECH.match(visible)) and (
        visible[0] in "-–—―" or any(mark in visible[1:] for mark in _CLOSING_QUOTES)
    )


def _is_wrapped(lines: Sequence[str], width: int) -> bool:
    """Nearly every line was broken because the next word did not fit."""
    narrowest, widest = _WRAPPED_CELLS
    if not narrowest <= width <= widest or 2 * sum(map(ends_sentence, lines[:-1])) > len(lines) - 1:
        return False
    early = sum(_cells(line) + 1 + _cells(following.split(None, 1)[0]) <= width for line, following in pairwise(lines))
    return early * 5 <= len(lines)


def _cells(line: str) -> int:
    """Width of ``line``; measured only as far as any rule asks."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in line[: _WRAPPED_CELLS[1] + 1])


def _with_headings(text: str, found: list[Block]) -> Iterator[Block]:
    punctuated = _is_punctuated(text, found)
    position = 0
    for could_be, run in groupby(found, key=lambda block: _could_be_heading(text, block, punctuated=punctuated)):
        group = list(run)
        position += len(group)
        before = found[position - len(group) - 1] if position > len(group) else None
        after = found[position] if position < len(found) else None
        if could_be and _are_headings(text, before, group, after):
            group = [replace(block, kind=BlockKind.HEADING) for block in group]
        yield from group


def _is_punctuated(text: str, found: list[Block]) -> bool:
    """Whether paragraphs end in full stops here, so that a line without one stands out (in Thai none does)."""
    long = [text[block.start : block.end] for block in found if block.end - block.start > _VERSE_CELLS]
    return 2 * sum(map(ends_sentence, long)) > len(long)


def _could_be_heading(text: str, block: Block, *, punctuated: bool) -> bool:
    line = text[block.start : min(block.end, block.start + _WRAPPED_CELLS[1])]
    if block.kind is not BlockKind.PROSE or _cells(line) > _VERSE_CELLS or len(line.split()) > _HEADING_WORDS:
        return False
    if line[0].islower() or line.rstrip(_CLOSERS).endswith(tuple(_SENTENCE_ENDS + _OTHER_ENDS)):
        return bool(_NUMBER_ALONE.match(line))
    return punctuated or _is_numbered(line)


def _is_numbered(line: str) -> bool:
    return bool(_NUMBER_ALONE.match(line) or _NUMBER_FIRST.match(line))


def _are_headings(text: str, before: Block | None, run: list[Block], after: Block | None) -> bool:
    if after is None or after.kind is BlockKind.BREAK:
        return False
    if len(run) > (_HEADINGS_IN_A_ROW if before else _HEADINGS_AT_THE_START):
        return False
    heads_something = after.end - after.start > run[-1].end - run[-1].start
    return heads_something and (_ends_something(text, before) or _is_numbered(text[run[0].start : run[0].end]))


def _ends_something(text: str, before: Block | None) -> bool:
    """What came before is over, so that something new may be headed."""
    if before is None or before.kind in {BlockKind.BREAK, BlockKind.VERSE}:
        return True
    return ends_sentence(text[before.start : before.end])
