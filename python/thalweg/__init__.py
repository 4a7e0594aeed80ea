"""Thalweg: programs in Python on the engine of streaming SQL."""

from ._engine import EngineError, __version__
from .application import Application, KeyedStream, Rows, State, Stream, WindowedStream
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
from .running import run
from .windows import Aggregation, Window, count, hop, session, tumble

__all__ = [
    "Aggregation",
    "Application",
    "EngineError",
    "KeyedStream",
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
]
