"""The word that a picture is AI-made, in the bytes of the picture."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from downstream.site.marks import TRAINED_ALGORITHMIC_MEDIA, encode_marked, read_mark


@pytest.mark.parametrize("file_format", ["WEBP", "JPEG", "PNG"])
def test_a_mark_is_read_back_from_the_finished_bytes(file_format: str) -> None:
    data = encode_marked(Image.new("RGB", (40, 30), "#804020"), file_format, {})

    assert read_mark(data) == TRAINED_ALGORITHMIC_MEDIA
    assert Image.open(io.BytesIO(data)).size == (40, 30)


def test_the_mark_stands_in_the_webp_chunk_that_other_programs_read() -> None:
    data = encode_marked(Image.new("RGB", (40, 30)), "WEBP", {"quality": 80})

    assert data[12:16] == b"VP8X"
    assert data[20] & 0b100, "the header promises XMP"
    start = data.index(b"XMP ")
    packet = data[start + 8 : start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")]
    assert b"http://iptc.org/std/Iptc4xmpExt/2008-02-29/" in packet
    assert b"trainedAlgorithmicMedia" in packet


@pytest.mark.parametrize("file_format", ["WEBP", "JPEG", "PNG"])
def test_a_picture_encoded_again_without_care_has_lost_its_mark(file_format: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, file_format)

    assert read_mark(buffer.getvalue()) is None


def test_the_mark_is_found_when_another_program_wrote_it_as_an_attribute() -> None:
    buffer = io.BytesIO()
    packet = b'<rdf:Description Iptc4xmpExt:DigitalSourceType="http://example.com/digitalCapture"/>'
    Image.new("RGB", (40, 30)).save(buffer, "WEBP", xmp=packet)

    assert read_mark(buffer.getvalue()) == "http://example.com/digitalCapture"


@pytest.mark.parametrize("data", [b"", b"hello", b"RIFF\x00\x00\x00\x00WEBP", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_has_no_mark(data: bytes) -> None:
    assert read_mark(data) is None
