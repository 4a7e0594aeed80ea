"""Readings of heat, cleaned up by pandas, batch by batch.

    python examples/python/pandas_batches.py

Reads lines of JSON from THALWEG_IN (`readings.json`), and writes lines of JSON to THALWEG_OUT (`clean.json`):
readings in degrees Celsius, those left out that no thermometer gives.

Which rows are in one batch is chance: however they come, each row must become the same. So there is no mean over
the batch here; that is what windows are for.
"""

import os
from typing import Any, Optional, TypedDict

import pandas
import thalweg


class Reading(TypedDict):
    station: str
    at: str
    heat: Optional[float]
    unit: Optional[str]


class Clean(TypedDict):
    station: str
    hour: int
    celsius: float
    frost: bool


@thalweg.computation(batch=True, columns=Clean)
def clean(batch: Any) -> pandas.DataFrame:
    frame = batch.to_pandas()
    # The result has fewer rows, so each says from which it comes: "row" is the `origin` below.
    frame["row"] = range(len(frame))
    frame["hour"] = pandas.to_datetime(frame["at"]).dt.hour
    fahrenheit = frame["unit"].eq("F")
    frame["celsius"] = frame["heat"].where(~fahrenheit, (frame["heat"] - 32) * 5 / 9).round(1)
    frame["frost"] = frame["celsius"] < 0
    frame["station"] = frame["station"].str.strip().str.title()
    return frame[frame["celsius"].between(-90, 60)]


application = thalweg.Application("readings")
readings = application.table(
    "readings", Reading, connector="single_file", path=os.environ.get("THALWEG_IN", "readings.json"), format="json"
)
readings.map_batches(clean, origin="row").sink_rows(
    "clean", connector="single_file", type="sink", path=os.environ.get("THALWEG_OUT", "clean.json"), format="json"
)

if __name__ == "__main__":
    thalweg.run(application)
