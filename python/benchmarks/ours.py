"""Word count over TCP: this engine's side."""

import os

import thalweg
from functions import count, encode, partition, split

application = thalweg.Application("word-count")
text = application.source(
    "text",
    connector="tcp",
    address=os.environ["IN"],
    framing="length",
    framing__length_bytes=4,
    decoder=thalweg.decode_utf8,
)
counts = text.flat_map(split).key_by(partition).stateful("counts", count, state=dict)
counts.sink("lines", connector="tcp", address=os.environ["OUT"], encoder=encode)
thalweg.run(application)
