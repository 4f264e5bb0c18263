"""Names that are safe as one component of a path; apart from ``job``, for an idle tick loads this."""

from __future__ import annotations

import re

_STREAM_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}\Z")


def is_stream_id(text: str) -> bool:
    """``text`` can name a stream, as ``job.StreamId`` says."""
    return _STREAM_ID.match(text) is not None
