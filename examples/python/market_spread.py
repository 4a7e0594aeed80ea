"""Market spread: orders are checked against a market that another stream keeps up to date.

Two pipelines interact through one named state. The first takes quotes and
remembers for each symbol what is bid and offered; it has no sink. The second
takes orders, and gives out those whose symbol may not be traded, because its
spread is too wide or nobody has quoted it yet.

    quotes ─► by symbol ─► market (updates)
                             ║ one state, by symbol
    orders ─► by symbol ─► market (checks) ─► rejected

A frame is a four-byte length and a record in big-endian form, see `QUOTE` and
`ORDER`. Each rejected order is a line: account, order, symbol, quantity, bid,
offer.

    nc -lk 7002 &
    python market_spread.py

The addresses are taken from THALWEG_QUOTES, THALWEG_ORDERS and THALWEG_OUT if
they are set.
"""

import os
import struct
from typing import NamedTuple, Optional

import thalweg

# An offer that is this much above the bid, in money or as a share of their middle, is too far.
SPREAD_MAX = 0.05

# `2`, symbol, time, bid, offer: 42 bytes.
QUOTE = struct.Struct(">B4s21sdd")
# `1`, side, account, order, symbol, quantity, price, time: 53 bytes.
ORDER = struct.Struct(">BBI6s4sdd21s")


class Quote(NamedTuple):
    symbol: str
    bid: float
    offer: float


class Order(NamedTuple):
    account: int
    id: str
    symbol: str
    quantity: float


class Rejection(NamedTuple):
    """An order that may not be traded, with the market that it met."""

    order: Order
    bid: float
    offer: float


class Market:
    """What is known of one symbol. Nothing may be traded before its first quote."""

    def __init__(self) -> None:
        self.quoted = False
        self.bid = 0.0
        self.offer = 0.0

    def update(self, quote: Quote) -> None:
        self.quoted, self.bid, self.offer = True, quote.bid, quote.offer

    def rejects(self) -> bool:
        spread = self.offer - self.bid
        middle = (self.offer + self.bid) / 2
        return not self.quoted or spread >= SPREAD_MAX or spread / middle >= SPREAD_MAX


@thalweg.decoder
def decode_quote(frame: bytes) -> Quote:
    kind, symbol, _, bid, offer = QUOTE.unpack(frame)
    if kind != 2:
        raise ValueError(f"the frame is of kind {kind}, not 2")
    return Quote(symbol.decode().rstrip(), bid, offer)


@thalweg.decoder
def decode_order(frame: bytes) -> Order:
    kind, _, account, order, symbol, quantity, _, _ = ORDER.unpack(frame)
    if kind != 1:
        raise ValueError(f"the frame is of kind {kind}, not 1")
    return Order(account, order.decode().rstrip(), symbol.decode().rstrip(), quantity)


def update(quote: Quote, market: Market) -> None:
    market.update(quote)


def check(order: Order, market: Market) -> Optional[Rejection]:
    return Rejection(order, market.bid, market.offer) if market.rejects() else None


@thalweg.encoder
def encode(rejection: Rejection) -> str:
    order, bid, offer = rejection
    return f"{order.account} {order.id} {order.symbol} {order.quantity:g} {bid:g} {offer:g}"


def listen(name: str, default: str) -> dict[str, str]:
    address = os.environ.get(name, default)
    return {"connector": "tcp", "address": address, "framing": "length", "framing__length_bytes": "4"}


application = thalweg.Application("market spread")
market = application.state("market", Market)

quotes = application.source("quotes", decoder=decode_quote, **listen("THALWEG_QUOTES", "127.0.0.1:7011"))
quotes.key_by(lambda quote: quote.symbol).stateful("update", update, state=market).discard()

orders = application.source("orders", decoder=decode_order, **listen("THALWEG_ORDERS", "127.0.0.1:7010"))
rejected = orders.key_by(lambda order: order.symbol).stateful("check", check, state=market)
rejected.sink("rejected", connector="tcp", address=os.environ.get("THALWEG_OUT", "127.0.0.1:7002"), encoder=encode)

if __name__ == "__main__":
    thalweg.run(application)
