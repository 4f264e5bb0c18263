"""The few words of our own on the page, in the story's language."""

# ruff: noqa: RUF001 - letters of many scripts

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """What the page says besides the story; ``language`` is the one it says it in."""

    language: str
    made_with_ai: str
    drawn_by_program: str
    loading: str


_TABLE = (
    Words(
        "en",
        "The pictures in this story were made with AI.",
        "In this preview they were drawn by a computer program.",
        "Loading the picture",
    ),
    Words(
        "hu",
        "A történet képei mesterséges intelligenciával készültek.",
        "Ebben az előnézetben egy számítógépes program rajzolta őket.",
        "A kép betöltése",
    ),
    Words(
        "de",
        "Die Bilder dieser Geschichte wurden mit KI erstellt.",
        "In dieser Vorschau hat sie ein Computerprogramm gezeichnet.",
        "Das Bild wird geladen",
    ),
    Words(
        "fr",
        "Les images de cette histoire ont été créées avec l’IA.",
        "Dans cet aperçu, elles ont été dessinées par un programme informatique.",
        "Chargement de l’image",
    ),
    Words(
        "es",
        "Las imágenes de esta historia se han creado con IA.",
        "En esta vista previa las ha dibujado un programa informático.",
        "Cargando la imagen",
    ),
    Words(
        "it",
        "Le immagini di questa storia sono state create con l’IA.",
        "In questa anteprima le ha disegnate un programma informatico.",
        "Caricamento dell’immagine",
    ),
    Words(
        "pt",
        "As imagens desta história foram criadas com IA.",
        "Nesta pré-visualização, foram desenhadas por um programa de computador.",
        "A carregar a imagem",
    ),
    Words(
        "pt-BR",
        "As imagens desta história foram criadas com IA.",
        "Nesta prévia, foram desenhadas por um programa de computador.",
        "Carregando a imagem",
    ),
    Words(
        "nl",
        "De beelden bij dit verhaal zijn met AI gemaakt.",
        "In dit voorbeeld zijn ze door een computerprogramma getekend.",
        "De afbeelding wordt geladen",
    ),
    Words(
        "pl",
        "Obrazy w tej opowieści stworzono z pomocą sztucznej inteligencji.",
        "W tym podglądzie narysował je program komputerowy.",
        "Wczytywanie obrazu",
    ),
    Words(
        "cs",
        "Obrázky v tomto příběhu byly vytvořeny pomocí umělé inteligence.",
        "V tomto náhledu je nakreslil počítačový program.",
        "Načítání obrázku",
    ),
    Words(
        "sk",
        "Obrázky v tomto príbehu boli vytvorené pomocou umelej inteligencie.",
        "V tejto ukážke ich nakreslil počítačový program.",
        "Načítava sa obrázok",
    ),
    Words(
        "ro",
        "Imaginile din această poveste au fost create cu inteligență artificială.",
        "În această previzualizare au fost desenate de un program de calculator.",
        "Se încarcă imaginea",
    ),
    Words(
        "sv",
        "Bilderna i den här berättelsen har skapats med AI.",
        "I den här förhandsvisningen har de ritats av ett datorprogram.",
        "Bilden laddas",
    ),
    Words(
        "da",
        "Billederne i denne fortælling er skabt med AI.",
        "I denne forhåndsvisning er de tegnet af et computerprogram.",
        "Billedet indlæses",
    ),
    Words(
        "nb",
        "Bildene i denne fortellingen er laget med KI.",
        "I denne forhåndsvisningen er de tegnet av et dataprogram.",
        "Bildet lastes inn",
    ),
    Words(
        "fi",
        "Tämän tarinan kuvat on tehty tekoälyllä.",
        "Tässä esikatselussa ne on piirtänyt tietokoneohjelma.",
        "Kuvaa ladataan",
    ),
    Words(
        "tr",
        "Bu hikâyedeki görseller yapay zekâ ile oluşturuldu.",
        "Bu önizlemede bir bilgisayar programı tarafından çizildi.",
        "Görsel yükleniyor",
    ),
    Words(
        "el",
        "Οι εικόνες αυτής της ιστορίας δημιουργήθηκαν με τεχνητή νοημοσύνη.",
        "Σε αυτήν την προεπισκόπηση τις σχεδίασε ένα πρόγραμμα υπολογιστή.",
        "Φόρτωση εικόνας",
    ),
    Words(
        "ru",
        "Изображения к этой истории созданы с помощью ИИ.",
        "В этом предпросмотре их нарисовала компьютерная программа.",
        "Изображение загружается",
    ),
    Words(
        "uk",
        "Зображення до цієї історії створено за допомогою ШІ.",
        "У цьому попередньому перегляді їх намалювала комп’ютерна програма.",
        "Зображення завантажується",
    ),
    Words(
        "ja",
        "この物語の画像はAIで作成されています。",
        "このプレビューでは、コンピュータープログラムが描いています。",
        "画像を読み込んでいます",
    ),
    Words("zh", "本故事中的图像由人工智能生成。", "在此预览中，图像由计算机程序绘制。", "正在加载图像"),
    Words("zh-Hant", "本故事中的圖像由人工智慧生成。", "在此預覽中，圖像由電腦程式繪製。", "正在載入圖像"),
    Words(
        "ko",
        "이 이야기의 이미지는 AI로 제작되었습니다.",
        "이 미리보기에서는 컴퓨터 프로그램이 그렸습니다.",
        "이미지를 불러오는 중",
    ),
    Words(
        "ar",
        "أُنشئت صور هذه القصة بالذكاء الاصطناعي.",
        "في هذه المعاينة رسمها برنامج حاسوبي.",
        "جارٍ تحميل الصورة",
    ),
    Words(
        "he",
        "התמונות בסיפור הזה נוצרו בבינה מלאכותית.",
        "בתצוגה המקדימה הזו הן צוירו בידי תוכנת מחשב.",
        "התמונה נטענת",
    ),
    Words(
        "fa",
        "تصویرهای این داستان با هوش مصنوعی ساخته شده‌اند.",
        "در این پیش‌نمایش، یک برنامهٔ رایانه‌ای آن‌ها را کشیده است.",
        "در حال بارگذاری تصویر",
    ),
    Words(
        "hi",
        "इस कहानी के चित्र एआई से बनाए गए हैं।",
        "इस पूर्वावलोकन में इन्हें एक कंप्यूटर प्रोग्राम ने बनाया है।",
        "चित्र लोड हो रहा है",
    ),
    Words(
        "th",
        "ภาพในเรื่องนี้สร้างด้วยปัญญาประดิษฐ์",
        "ในตัวอย่างนี้ ภาพวาดโดยโปรแกรมคอมพิวเตอร์",
        "กำลังโหลดภาพ",
    ),
    Words(
        "vi",
        "Hình ảnh trong câu chuyện này được tạo bằng AI.",
        "Trong bản xem trước này, chúng do một chương trình máy tính vẽ.",
        "Đang tải hình ảnh",
    ),
    Words(
        "id",
        "Gambar dalam cerita ini dibuat dengan AI.",
        "Dalam pratinjau ini, gambarnya dibuat oleh program komputer.",
        "Memuat gambar",
    ),
)
_BY_TAG = {words.language.lower(): words for words in _TABLE}
_SAME_AS = {"no": "nb", "nn": "nb", "zh-tw": "zh-hant", "zh-hk": "zh-hant", "zh-mo": "zh-hant", "iw": "he", "in": "id"}


def words_for(language: str) -> Words:
    """Our words in that language (BCP 47), by its longest tag we know; else in English."""
    parts = language.lower().split("-")
    for length in range(len(parts), 0, -1):
        tag = "-".join(parts[:length])
        found = _BY_TAG.get(_SAME_AS.get(tag, tag))
        if found:
            return found
    return _TABLE[0]
