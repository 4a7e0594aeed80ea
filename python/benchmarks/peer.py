"""Word count over TCP: Bytewax's side, with sockets read and written in as large pieces as there are."""

import os
import socket
import struct

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main
from functions import count, encode, partition, split


def address(name: str) -> tuple[str, int]:
    host, port = os.environ[name].rsplit(":", 1)
    return host, int(port)


class Frames(StatelessSourcePartition):
    def __init__(self) -> None:
        self.connection, _ = socket.create_server(address("IN")).accept()
        self.rest = b""

    def next_batch(self) -> list[str]:
        data = self.connection.recv(1 << 18)
        if not data:
            raise StopIteration
        data, texts, at = self.rest + data, [], 0
        while at + 4 <= len(data):
            (length,) = struct.unpack_from(">I", data, at)
            if at + 4 + length > len(data):
                break
            texts.append(data[at + 4 : at + 4 + length].decode())
            at += 4 + length
        self.rest = data[at:]
        return texts


class Source(DynamicSource):
    def build(self, step_id: str, worker_index: int, worker_count: int) -> Frames:
        return Frames()


class Lines(StatelessSinkPartition):
    def __init__(self) -> None:
        self.connection = socket.create_connection(address("OUT"))

    def write_batch(self, items: list[str]) -> None:
        self.connection.sendall("".join(f"{item}\n" for item in items).encode())


class Sink(DynamicSink):
    def build(self, step_id: str, worker_index: int, worker_count: int) -> Lines:
        return Lines()


def counted(totals: dict | None, word: str) -> tuple:
    totals = {} if totals is None else totals
    return totals, count(word, totals)


flow = Dataflow("word_count")
texts = op.input("text", flow, Source())
words = op.key_on("key", op.flat_map("split", texts, split), partition)
counts = op.stateful_map("counts", words, counted)
lines = op.map("encode", counts, lambda keyed: encode(keyed[1]))
op.output("lines", lines, Sink())

if __name__ == "__main__":
    cli_main(flow)
