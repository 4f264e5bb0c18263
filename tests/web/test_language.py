# ruff: noqa: RUF001 - letters of many scripts
# ruff: noqa: RUF001 - the letters of other scripts

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from downstream.domain.language import text_direction
from downstream.web.language import LANGUAGES, detect

STORIES = Path(__file__).parent.parent / "stories"

PASSAGES = {
    "ar": "خرج الرجل العجوز في الصباح إلى النهر لأنه أراد أن يرى الجسر الذي بناه جده منذ زمن بعيد.",
    "cs": "Ráno šel starý mlynář k řece, protože chtěl vidět most, který kdysi postavil jeho dědeček.",
    "da": "Om morgenen gik den gamle møller ned til åen, fordi han ville se broen, som hans farfar havde bygget.",
    "de": "Am Morgen ging der alte Müller zum Fluss, weil er die Brücke sehen wollte, die sein Großvater gebaut hatte.",
    "el": "Το πρωί ο γέρος μυλωνάς κατέβηκε στο ποτάμι, γιατί ήθελε να δει τη γέφυρα του παππού του.",
    "en": "In the morning the old miller went down to the river to see the bridge his grandfather had built.",
    "es": "Por la mañana el viejo molinero bajó al río, porque quería ver el puente que su abuelo había construido.",
    "fa": "صبح زود آسیابان پیر به کنار رودخانه رفت، چون می‌خواست پلی را ببیند که پدربزرگش ساخته بود.",
    "fi": "Aamulla vanha mylläri meni joelle, koska hän halusi nähdä sillan, jonka hänen isoisänsä oli rakentanut.",
    "fr": "Le matin, le vieux meunier descendit à la rivière, car il voulait voir le pont bâti par son grand-père.",
    "he": "בבוקר ירד הטוחן הזקן אל הנהר, כי רצה לראות את הגשר שסבו בנה לפני שנים רבות.",
    "hi": "सुबह बूढ़ा चक्कीवाला नदी की ओर गया, क्योंकि वह अपने दादा का बनाया हुआ पुल देखना चाहता था।",
    "hu": "Reggel az öreg molnár lement a folyóhoz, mert látni akarta a hidat, amelyet a nagyapja épített.",
    "it": "La mattina il vecchio mugnaio scese al fiume, perché voleva vedere il ponte che suo nonno aveva costruito.",
    "ja": "朝、年老いた粉屋は川へ下りていった。祖父が昔つくった橋を見たかったからである。",
    "ko": "아침에 늙은 방앗간 주인은 할아버지가 놓은 다리를 보려고 강으로 내려갔다.",
    "nl": "In de ochtend liep de oude molenaar naar de rivier, omdat hij de brug van zijn grootvader wilde zien.",
    "pl": "Rano stary młynarz poszedł nad rzekę, bo chciał zobaczyć most, który zbudował jego dziadek.",
    "pt": "De manhã o velho moleiro desceu ao rio, porque queria ver a ponte que o avô tinha construído.",
    "ro": "Dimineața bătrânul morar a coborât la râu, pentru că voia să vadă podul pe care îl construise bunicul său.",
    "ru": "Утром старый мельник пошёл к реке, потому что хотел увидеть мост, который построил его дед.",
    "sr": "Ујутру је стари воденичар сишао до реке, јер је желео да види мост који је саградио његов деда.",
    "sr-Latn": "Ujutru je stari vodeničar sišao do reke, jer je želeo da vidi most koji je sagradio njegov deda.",
    "sv": "På morgonen gick den gamle mjölnaren ner till ån, eftersom han ville se bron som hans farfar hade byggt.",
    "th": "ตอนเช้าเจ้าของโรงสีเฒ่าเดินลงไปที่แม่น้ำเพราะอยากเห็นสะพานที่ปู่ของเขาสร้างไว้",
    "tr": "Sabahleyin yaşlı değirmenci nehre indi, çünkü dedesinin yaptığı köprüyü görmek istiyordu.",
    "uk": "Уранці старий мельник пішов до річки, бо хотів побачити міст, який збудував його дід.",
    "vi": "Buổi sáng, ông chủ cối xay già xuống sông vì muốn nhìn thấy cây cầu mà ông nội mình đã xây.",
    "zh-Hans": "早晨，老磨坊主走到河边，因为他想看看祖父从前修建的那座桥。",
    "zh-Hant": "早晨，老磨坊主走到河邊，因為他想看看祖父從前修建的那座橋。",
}


@pytest.mark.parametrize("language", PASSAGES)
def test_one_sentence_tells_its_language(language: str) -> None:
    assert detect(PASSAGES[language]) == language


@pytest.mark.parametrize(
    ("story", "language"), [("the-selfish-giant.txt", "en"), ("emberi-jogok.hu.txt", "hu")], ids=lambda value: value
)
def test_a_whole_story_tells_its_language(story: str, language: str) -> None:
    assert detect((STORIES / story).read_text("utf-8")) == language


@pytest.mark.parametrize("text", ["", "   \n", "1984 … 42!", "🌉🌊", "Ok", "hello", "Chapter 1"])
def test_english_is_said_where_there_is_nothing_to_go_by(text: str) -> None:
    assert detect(text) == "en"


def test_a_quoted_word_of_another_script_does_not_turn_the_story() -> None:
    assert detect(PASSAGES["de"] + " Er sagte: „こんにちは“, und dann noch „Здравствуйте“.") == "de"


def test_japanese_with_few_kana_is_not_taken_for_chinese() -> None:
    assert detect("国際連合総会は世界人権宣言を採択した。") == "ja"


def test_korean_with_chinese_characters_is_not_taken_for_chinese() -> None:
    assert detect("大韓民國憲法前文은 悠久한 歷史와 傳統에 빛난다") == "ko"


def test_only_the_beginning_of_a_long_text_is_looked_at() -> None:
    assert detect(PASSAGES["de"] * 50 + PASSAGES["ru"] * 500) == "de"


def test_every_language_is_offered_once_under_a_tag_that_a_story_may_have() -> None:
    tags = [tag for tag, _ in LANGUAGES]

    assert len(tags) == len(set(tags)) >= 60
    assert all(re.fullmatch(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?", tag) for tag in tags)
    assert {"en", "de", "pt-BR", "nb", "zh-Hans", "zh-Hant", "fil", *PASSAGES} <= set(tags)


def test_every_name_runs_the_way_its_language_does() -> None:
    assert [tag for tag, name in LANGUAGES if text_direction(tag) != text_direction("und", name)] == []


@pytest.mark.parametrize(
    "text", ["Yn y bore aeth yr hen felinydd i lawr at yr afon.", "ᚠᚢᚦᚨᚱᚲ", "བོད་སྐད་ཀྱི་གཏམ་རྒྱུད།", "ܫܠܡܐ ܥܠܝܟܘܢ"]
)
def test_what_is_detected_is_always_offered(text: str) -> None:
    assert detect(text) in dict(LANGUAGES)


def test_many_may_ask_at_once_from_the_start() -> None:
    script = """
import threading
from downstream.web.language import detect
found, start = [], threading.Barrier(8)
def ask():
    start.wait()
    found.append(detect("Reggel az öreg molnár lement a folyóhoz, mert látni akarta a hidat."))
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*found)
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert answer.stdout.split() == ["hu"] * 8
