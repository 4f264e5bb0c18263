"""How languages count and run: words, direction."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal
from unicodedata import bidirectional

Direction = Literal["ltr", "rtl"]

CJK_PER_WORD = 2
"""Chinese and Japanese characters that make about one word."""
SOUTHEAST_ASIAN_PER_WORD = 5
"""Thai, Lao, Khmer and Burmese letters that make about one word."""

# Letters of the scripts that put no space between words (Unicode, Blocks.txt and Scripts.txt): Han, kana and bopomofo,
# then Thai, Lao, Burmese and Khmer without their combining vowels and tone marks.
CJK = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u312f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
SOUTHEAST_ASIAN = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd\u0ec0-\u0ec6\u0edc-\u0edf"
    "\u1000-\u102a\u103f\u1050-\u1055\u105a-\u105d\u1061\u1065\u1066\u106e-\u1070\u1075-\u1081\u108e"
    "\ua9e0-\ua9e4\ua9e6-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa76\uaa7a\uaa7e\uaa7f\u1780-\u17b3\u17d7\u17dc"
)
HALFWIDTH_VOICE_MARKS = "\uff9e\uff9f"
# What ends a word without a space: long dashes, the ellipsis, ideographic and full-width punctuation, the Ethiopic word
# space and the Tibetan syllable dot.
SEPARATORS = "\u2014\u2015\u2026\u0f0b\u1361\u200b\u3000-\u3004\u3008-\u3020\u3030\u30fb\uff01-\uff0f\uff1a-\uff20"

_RTL_SCRIPTS = "adlm arab aran hebr mand mend nkoo rohg samr syrc thaa yezi"
# Languages whose usual script runs from right to left (Unicode CLDR, likely subtags).
_RTL_LANGUAGES = (
    "ar aao abh abv acm acq acw acx acy adf aeb aec afb aii ajp apc apd arc arq ars ary arz auz avl ayh ayl ayn ayp "
    "azb bal bcc bft bgn bqi brh ckb cld dcc dv fa glk haz he iw ji jpr khw ks lki lrc luz mid mvy mzn nqo ota pal "
    "pbt pbu pes pga plk pnb prd prs ps pst rhg sam sd sdh shu skr smp ssh syc syr trw ug ur ydd yi yih"
)
# Languages that live in scripts of both directions, and tags that name no language.
_EITHER_WAY = "az ha jrb kk ku ky lad mis ms mul pa tg tk und uz zxx"


def count_words(text: str, language: str) -> int:
    """Words of ``text``: letters of unspaced scripts by their number, everything else by what stands between spaces."""
    # Korean keeps its spaces when it is written with Chinese characters.
    cjk = "" if _primary(language) == "ko" else CJK
    words = sum(1 for _ in _spaced_word(cjk).finditer(text))
    characters = _letters(CJK, text) if cjk else 0
    return words - (-characters // CJK_PER_WORD) - (-_letters(SOUTHEAST_ASIAN, text) // SOUTHEAST_ASIAN_PER_WORD)


def text_direction(language: str, text: str = "") -> Direction:
    """Which way ``text`` runs, by the tag (BCP 47); by its first strong character where the tag leaves it open."""
    script = _script(language)
    if script:
        return "rtl" if script in _RTL_SCRIPTS.split() else "ltr"
    if _primary(language) in _RTL_LANGUAGES.split():
        return "rtl"
    return _first_strong(text) if _primary(language) in _EITHER_WAY.split() else "ltr"


@cache
def _spaced_word(cjk: str) -> re.Pattern[str]:
    unspaced = cjk + SOUTHEAST_ASIAN
    # A word begins at a letter or digit and runs to the next space; what is skipped on the way is skipped once.
    return re.compile(f"[^\\W_{unspaced}{HALFWIDTH_VOICE_MARKS}][^\\s{unspaced}{SEPARATORS}]*")


def _letters(ranges: str, text: str) -> int:
    return sum(run.end() - run.start() for run in re.finditer(f"[{ranges}]+", text))


def _primary(language: str) -> str:
    return language.partition("-")[0].lower()


def _script(language: str) -> str:
    for subtag in language.lower().split("-")[1:]:
        if len(subtag) == 1:
            break  # extensions and private use say nothing about the script
        if len(subtag) == 4 and subtag.isalpha():
            return subtag
    return ""


def _first_strong(text: str) -> Direction:
    for character in text:
        strength = bidirectional(character)
        if strength in {"L", "R", "AL"}:
            return "ltr" if strength == "L" else "rtl"
    return "ltr"
