"""How a story's text is built: its blocks, told apart by their shape."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


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


def blocks(text: str) -> tuple[Block, ...]:
    """The blocks of ``text`` in order; what lies between them is white space only."""
    return tuple(
        Block(found.start(), found.end(), BlockKind.PROSE) for found in re.finditer(r"\S(?:.|\n(?!\s*\n))*(?<=\S)", text)
    )
