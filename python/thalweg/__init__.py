"""Thalweg: programs in Python on the engine of streaming SQL."""

import sys

# Before anything that an older interpreter would stumble over without such words.
if sys.version_info < (3, 10):
    raise ImportError("thalweg needs Python 3.10 or newer, and this is Python %d.%d" % sys.version_info[:2])

from ._engine import EngineError, __version__
from .application import Application, DeadLetters, KeyedStream, OnError, Rows, State, Stream, WindowedStream
from .codecs import decode_json, decode_utf8, encode_json
from .functions import (
    computation,
    computation_multi,
    decoder,
    decoder_multi,
    encoder,
    key_extractor,
    state_computation,
    state_computation_multi,
)
from .policies import DeadLetter
from .running import run
from .sql_functions import udaf, udf
from .windows import Aggregation, Window, count, hop, session, tumble

__all__ = [
    "Aggregation",
    "Application",
    "DeadLetter",
    "DeadLetters",
    "EngineError",
    "KeyedStream",
    "OnError",
    "Rows",
    "State",
    "Stream",
    "Window",
    "WindowedStream",
    "__version__",
    "computation",
    "computation_multi",
    "count",
    "decode_json",
    "decode_utf8",
    "decoder",
    "decoder_multi",
    "encode_json",
    "encoder",
    "hop",
    "key_extractor",
    "run",
    "session",
    "state_computation",
    "state_computation_multi",
    "tumble",
    "udaf",
    "udf",
]
