"""The machine-readable word that a picture is AI-made: written into every published image, read back from its bytes."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

TRAINED_ALGORITHMIC_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC NewsCodes, Digital Source Type: made by a model trained on sampled content."""

# XMP, part 1 (ISO 16684-1): the packet wrapper; the property is IPTC Extension's (IPTC Photo Metadata, 2008 and later).
_XMP_PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:DigitalSourceType>{TRAINED_ALGORITHMIC_MEDIA}</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>""".encode()

_SOURCE_TYPE = re.compile(
    rb"""<Iptc4xmpExt:DigitalSourceType>\s*([^<\s]+)|Iptc4xmpExt:DigitalSourceType=["']([^"']+)"""
)


def encode_marked(picture: Image.Image, file_format: str, options: Mapping[str, Any]) -> bytes:
    """The picture as WebP, JPEG or PNG, marked as AI-made; ``options`` are Pillow's for that format."""
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **_marking(file_format), **options)
    return buffer.getvalue()


def _marking(file_format: str) -> dict[str, Any]:
    if file_format != "PNG":
        return {"xmp": _XMP_PACKET}
    chunks = PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", _XMP_PACKET.decode())
    return {"pnginfo": chunks}


def read_mark(data: bytes) -> str | None:
    """The Digital Source Type an encoded image carries in its XMP; None when it carries none or is no image."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()  # a PNG may carry it behind its pixels
            packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or b""
    except (OSError, SyntaxError, ValueError):
        return None
    found = _SOURCE_TYPE.search(packet.encode() if isinstance(packet, str) else packet)
    return (found[1] or found[2]).decode(errors="replace") if found else None
