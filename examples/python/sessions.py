"""Sessions: what a user did without a pause of half a minute, by the times of the clicks.

Clicks come over TCP, one JSON object a line, and not quite in order: one may
come up to five seconds behind a later one. A session is given out, one line,
when so much time has passed in the clicks that nothing can belong to it any
more. What is no click goes to standard output, and the rest goes on.

    nc -lk 7002 &
    python sessions.py &
    nc 127.0.0.1 7010
    {"user": "ann", "page": "/pool", "time": 1767225600.0}

The addresses are taken from THALWEG_IN and THALWEG_OUT if they are set.
"""

import os
from typing import NamedTuple

import thalweg

PAUSE = 30.0
DELAY_MAX = 5.0


class Click(NamedTuple):
    user: str
    page: str
    time: float


class Visit(NamedTuple):
    """The pages of a session, each with its time."""

    pages: tuple[tuple[float, str], ...]


class Session:
    """All clicks of a session. They are aggregated in parts, and put into order at the end."""

    def initial(self) -> Visit:
        return Visit(())

    def update(self, click: Click, visit: Visit) -> Visit:
        return Visit((*visit.pages, (click.time, click.page)))

    def combine(self, visit: Visit, other: Visit) -> Visit:
        return Visit(visit.pages + other.pages)

    def output(self, user: str, window: thalweg.Window, visit: Visit) -> str:
        pages = sorted(visit.pages)
        seconds = pages[-1][0] - pages[0][0]
        return f"{user} {seconds:g}s: {' '.join(page for _, page in pages)}"


@thalweg.decoder
def decode(line: bytes) -> Click:
    click = thalweg.decode_json(line)
    return Click(click["user"], click["page"], float(click["time"]))


@thalweg.encoder
def encode(letter: thalweg.DeadLetter) -> str:
    return f"{letter.error} in {letter.record!r}"


def by_user(click: Click) -> str:
    return click.user


application = thalweg.Application("sessions")
refused = application.dead_letters("refused")
refused.sink("refused", connector="stdout", encoder=encode)
text = os.environ.get("THALWEG_IN", "127.0.0.1:7010")
clicks = application.source("clicks", connector="tcp", address=text, decoder=decode, on_error=refused)
timed = clicks.with_event_time(lambda click: click.time, max_delay=DELAY_MAX)
sessions = timed.key_by(by_user).window(thalweg.session(PAUSE)).aggregate("sessions", Session())
sessions.sink("sessions", connector="tcp", address=os.environ.get("THALWEG_OUT", "127.0.0.1:7002"))

if __name__ == "__main__":
    thalweg.run(application)
