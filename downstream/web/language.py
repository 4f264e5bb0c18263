"""Which language a story is written in, guessed; the customer may say otherwise."""

from __future__ import annotations

import threading
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING
from unicodedata import name as character_name

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier  # type: ignore[import-untyped]

LANGUAGES: tuple[tuple[str, str], ...] = (
    ("af", "Afrikaans"),
    ("sq", "Shqip"),
    ("am", "አማርኛ"),
    ("ar", "العربية"),
    ("hy", "Հայերեն"),
    ("az", "Azərbaycanca"),
    ("eu", "Euskara"),
    ("be", "Беларуская"),
    ("bn", "বাংলা"),
    ("bs", "Bosanski"),
    ("bg", "Български"),
    ("my", "မြန်မာဘာသာ"),
    ("ca", "Català"),
    ("zh-Hans", "简体中文"),
    ("zh-Hant", "繁體中文"),
    ("hr", "Hrvatski"),
    ("cs", "Čeština"),
    ("da", "Dansk"),
    ("nl", "Nederlands"),
    ("en", "English"),
    ("eo", "Esperanto"),
    ("et", "Eesti"),
    ("fil", "Filipino"),
    ("fi", "Suomi"),
    ("fr", "Français"),
    ("gl", "Galego"),
    ("ka", "ქართული"),
    ("de", "Deutsch"),
    ("el", "Ελληνικά"),
    ("gu", "ગુજરાતી"),
    ("he", "עברית"),
    ("hi", "हिन्दी"),
    ("hu", "Magyar"),
    ("is", "Íslenska"),
    ("id", "Bahasa Indonesia"),
    ("ga", "Gaeilge"),
    ("it", "Italiano"),
    ("ja", "日本語"),
    ("kn", "ಕನ್ನಡ"),
    ("kk", "Қазақ тілі"),
    ("km", "ភាសាខ្មែរ"),
    ("ko", "한국어"),
    ("lo", "ລາວ"),
    ("la", "Latina"),
    ("lv", "Latviešu"),
    ("lt", "Lietuvių"),
    ("lb", "Lëtzebuergesch"),
    ("mk", "Македонски"),
    ("ms", "Bahasa Melayu"),
    ("ml", "മലയാളം"),
    ("mt", "Malti"),
    ("mr", "मराठी"),
    ("mn", "Монгол"),
    ("ne", "नेपाली"),
    ("nb", "Norsk bokmål"),
    ("nn", "Norsk nynorsk"),
    ("fa", "فارسی"),
    ("pl", "Polski"),
    ("pt", "Português"),
    ("pt-BR", "Português (Brasil)"),
    ("pa", "ਪੰਜਾਬੀ"),
    ("ro", "Română"),
    ("ru", "Русский"),
    ("gd", "Gàidhlig"),
    ("sr", "Српски"),
    ("sr-Latn", "Srpski"),
    ("si", "සිංහල"),
    ("sk", "Slovenčina"),
    ("sl", "Slovenščina"),
    ("es", "Español"),
    ("sw", "Kiswahili"),
    ("sv", "Svenska"),
    ("ta", "தமிழ்"),
    ("te", "తెలుగు"),
    ("th", "ไทย"),
    ("tr", "Türkçe"),
    ("uk", "Українська"),
    ("ur", "اردو"),
    ("uz", "Oʻzbekcha"),  # noqa: RUF001 - this is its letter
    ("vi", "Tiếng Việt"),
    ("cy", "Cymraeg"),
)
"""What a customer may choose: the tag (BCP 47) and the language's own name, ordered by the English one."""

_UNKNOWN = "en"
_LOOKED_AT_CHARACTERS = 4000
_LEAST_CERTAINTY = 0.12  # below it the model only guesses, as at a word or two

# Scripts that one language of the list is written in, by the first word of their letters' Unicode names.
_LANGUAGE_OF_SCRIPT = {
    "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "THAI": "th", "LAO": "lo", "KHMER": "km", "MYANMAR": "my",
    "GREEK": "el", "HEBREW": "he", "ARMENIAN": "hy", "GEORGIAN": "ka", "ETHIOPIC": "am", "BENGALI": "bn",
    "GUJARATI": "gu", "GURMUKHI": "pa", "KANNADA": "kn", "MALAYALAM": "ml", "SINHALA": "si", "TAMIL": "ta",
    "TELUGU": "te",
}  # fmt: skip
_TAG_OF_LABEL = {"no": "nb", "tl": "fil"}  # where the model's label is not our tag
_loading = threading.Lock()


def detect(text: str) -> str:
    """Returns the tag (BCP 47, one of ``LANGUAGES``) of the likeliest language; ``en`` for nothing to go by."""
    sample = text[:_LOOKED_AT_CHARACTERS]
    letters = [character for character in sample if character.isalpha()]
    if not letters:
        return _UNKNOWN
    scripts = Counter(map(_script, letters))
    script = scripts.most_common(1)[0][0]
    if script == "CJK":
        return _east_asian(scripts, letters)
    return _LANGUAGE_OF_SCRIPT.get(script) or _by_model(sample, script)


def _script(letter: str) -> str:
    return character_name(letter, "").partition(" ")[0]


def _east_asian(scripts: Counter[str], letters: list[str]) -> str:
    """Of a text that is mostly Chinese characters: Japanese has kana between them, Korean Hangul."""
    for script in ("HIRAGANA", "KATAKANA", "HANGUL"):
        if scripts[script] * 10 > scripts["CJK"]:
            return _LANGUAGE_OF_SCRIPT[script]
    simplified = sum(_is_only_in("gb2312", "big5", letter) for letter in letters)
    traditional = sum(_is_only_in("big5", "gb2312", letter) for letter in letters)
    return "zh-Hant" if traditional > simplified else "zh-Hans"


def _is_only_in(encoding: str, other: str, letter: str) -> bool:
    """The old encodings of the mainland and of Taiwan hold one form of a character each."""
    return _is_in(encoding, letter) and not _is_in(other, letter)


def _is_in(encoding: str, letter: str) -> bool:
    try:
        letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _by_model(sample: str, script: str) -> str:
    label, certainty = _model().classify(sample)
    if certainty < _LEAST_CERTAINTY:
        return _UNKNOWN
    if label == "sr" and script == "LATIN":
        return "sr-Latn"
    return _TAG_OF_LABEL.get(label, str(label))


def _model() -> LanguageIdentifier:
    with _loading:
        return _load_model()


@cache
def _load_model() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    label_of_tag = {tag: label for label, tag in _TAG_OF_LABEL.items()}
    offered = {label_of_tag.get(tag, tag) for tag, _ in LANGUAGES}
    model.set_languages(offered & set(model.labels))
    return model
