"""Thalweg: programs in Python on the engine of streaming SQL."""

from ._engine import EngineError, __version__
from .application import Application, KeyedStream, State, Stream
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

__all__ = [
    "Application",
    "EngineError",
    "KeyedStream",
    "State",
    "Stream",
    "__version__",
    "computation",
    "computation_multi",
    "decode_json",
    "decode_utf8",
    "decoder",
    "decoder_multi",
    "encode_json",
    "encoder",
    "key_extractor",
    "run",
    "state_computation",
    "state_computation_multi",
]
