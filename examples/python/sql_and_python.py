"""SQL and Python in one program: what each says best.

Trades come over TCP, one JSON object a line. A function of Python tells what
kind of client it is by the shape of an account, SQL sorts trades into minutes
and kinds, an aggregate of Python computes what SQL has no word for, and a
function of Python writes the lines. One more function stands in the SQL itself.

    trades ─► rows ─► SQL [ kind(account), notional(…), vwap(price, quantity) ] ─► lines

    nc -lk 7002 &
    python sql_and_python.py &
    nc 127.0.0.1 7010
    {"account": "HF-17", "symbol": "GOOD", "price": 10.5, "quantity": 200, "time": 1767225600.0}

The addresses are taken from THALWEG_IN and THALWEG_OUT if they are set.
"""

import os
from datetime import datetime, timezone
from typing import Any, NamedTuple, Optional

import thalweg

DELAY_MAX = 2.0


class Trade(NamedTuple):
    account: Optional[str]
    symbol: str
    price: float
    quantity: int
    time: float


@thalweg.udf
def kind(account: Optional[str]) -> str:
    """Whose account it is: funds begin with `HF-`, and what has no account was traded over the counter."""
    if account is None:
        return "counter"
    return "fund" if account.startswith("HF-") else "private"


class Weighted(NamedTuple):
    money: float
    quantity: int


@thalweg.udaf
class vwap:
    """The price of all trades, each by its weight; NULL if nothing was traded."""

    def initial(self) -> Weighted:
        return Weighted(0.0, 0)

    def update(self, price: float, quantity: int, so_far: Weighted) -> Weighted:
        return Weighted(so_far.money + price * quantity, so_far.quantity + quantity)

    def combine(self, one: Weighted, other: Weighted) -> Weighted:
        return Weighted(one.money + other.money, one.quantity + other.quantity)

    def output(self, so_far: Weighted) -> Optional[float]:
        return so_far.money / so_far.quantity if so_far.quantity else None


SCRIPT = """
CREATE FUNCTION notional(price DOUBLE, quantity BIGINT) RETURNS DOUBLE LANGUAGE python AS $$
    def notional(price, quantity):
        return round(price * quantity, 2)
$$;

SELECT minute.start AS minute, symbol, kind, traded, price
FROM (
    SELECT tumble(INTERVAL '1 minute') AS minute, symbol, kind(account) AS kind,
        sum(notional(price, quantity)) AS traded, vwap(price, quantity) AS price
    FROM trades
    GROUP BY minute, symbol, kind(account)
)
WHERE traded > 0
"""


@thalweg.decoder
def decode(frame: bytes) -> Trade:
    trade = thalweg.decode_json(frame)
    return Trade(trade.get("account"), trade["symbol"], trade["price"], trade["quantity"], trade["time"])


def at(trade: Trade) -> datetime:
    return datetime.fromtimestamp(trade.time, timezone.utc)


def line(row: dict[str, Any]) -> str:
    return f"{row['minute']:%H:%M} {row['symbol']} {row['kind']}: {row['traded']:.2f} at {row['price']:.4f}\n"


app = thalweg.Application("sql and python")
app.function(kind)
app.function(vwap)
trades = app.source("trades", connector="tcp", address=os.environ.get("THALWEG_IN", "127.0.0.1:7010"), decoder=decode)
rows = trades.with_event_time(at, max_delay=DELAY_MAX).rows(Trade)
app.sql(SCRIPT, trades=rows).map(line).sink(
    "out", connector="tcp", address=os.environ.get("THALWEG_OUT", "127.0.0.1:7002"), framing="none"
)

if __name__ == "__main__":
    thalweg.run(app)
