"""Common decoders and encoders."""

from __future__ import annotations

import json as _json
from typing import Any

from .functions import decoder, encoder


@decoder(name="utf8")
def decode_utf8(frame: bytes) -> str:
    """A frame is a text."""
    return frame.decode()


@decoder(name="json")
def decode_json(frame: bytes) -> Any:
    """A frame is one JSON value."""
    return _json.loads(frame)


@encoder(name="json")
def encode_json(record: Any) -> str:
    """A record as one JSON value."""
    return _json.dumps(record)
