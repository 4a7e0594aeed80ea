"""Word count: how often has each word been seen?

Text comes in over TCP, in frames of a four-byte length and that many bytes of
UTF-8. The totals are kept in 26 partitions, one for each letter that words
begin with, and one, `!`, for all others. For every word one line goes out:
`word => total`.

    nc -lk 7002 &
    python word_count.py

The addresses are taken from THALWEG_IN and THALWEG_OUT if they are set.
"""

import os
import string

import thalweg


@thalweg.decoder
def decode(frame: bytes) -> str:
    return frame.decode()


@thalweg.computation_multi
def split(text: str) -> list[str]:
    words = (word.strip(string.punctuation).lower() for word in text.split())
    return [word for word in words if word]


@thalweg.key_extractor
def partition(word: str) -> str:
    return word[0] if word[0] in string.ascii_lowercase else "!"


class Totals:
    """The words of one partition."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}


@thalweg.state_computation(state=Totals)
def count(word: str, totals: Totals) -> tuple[str, int]:
    total = totals.of.get(word, 0) + 1
    totals.of[word] = total
    return word, total


@thalweg.encoder
def encode(result: tuple[str, int]) -> str:
    return f"{result[0]} => {result[1]}"


application = thalweg.Application("word-count")
text = application.source(
    "text",
    connector="tcp",
    address=os.environ.get("THALWEG_IN", "127.0.0.1:7010"),
    framing="length",
    framing__length_bytes=4,
    decoder=decode,
)
counts = text.to(split).key_by(partition).to(count)
counts.sink("lines", connector="tcp", address=os.environ.get("THALWEG_OUT", "127.0.0.1:7002"), encoder=encode)

if __name__ == "__main__":
    thalweg.run(application)
