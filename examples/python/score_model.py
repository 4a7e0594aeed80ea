"""A model of scikit-learn that scores payments, one call for each batch.

    python examples/python/score_model.py

Reads lines of JSON from THALWEG_IN (`payments.json`), and writes lines of JSON to THALWEG_OUT (`alarms.json`): the
payments that look like fraud, and how sure the model is. It is trained below, with a few payments; yours comes
out of a file.
"""

import os
from typing import Any, TypedDict

import numpy
import thalweg
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


class Payment(TypedDict):
    id: int
    amount: float
    hour: int
    kilometres_from_home: float


class Scored(TypedDict):
    id: int
    amount: float
    fraud: float


FEATURES = ["amount", "hour", "kilometres_from_home"]
HONEST = [(12.0, 9, 1.0), (30.0, 12, 3.0), (55.0, 18, 8.0), (7.5, 13, 0.5), (120.0, 20, 15.0), (20.0, 8, 30.0)]
FRAUDS = [(900.0, 3, 800.0), (450.0, 2, 1200.0), (700.0, 4, 90.0), (1500.0, 1, 4000.0)]

model = make_pipeline(StandardScaler(), LogisticRegression())
model.fit(HONEST + FRAUDS, [0] * len(HONEST) + [1] * len(FRAUDS))


@thalweg.computation(batch=True, columns=Scored)
def score(batch: Any) -> dict[str, Any]:
    features = numpy.column_stack([batch[name].to_numpy() for name in FEATURES])
    fraud = model.predict_proba(features)[:, 1]
    return {"id": batch["id"], "amount": batch["amount"], "fraud": fraud}


application = thalweg.Application("fraud")
payments = application.table(
    "payments", Payment, connector="single_file", path=os.environ.get("THALWEG_IN", "payments.json"), format="json"
)
alarms = payments.to(score).sql("SELECT id, amount, round(fraud, 2) AS fraud FROM stream WHERE fraud > 0.5")
alarms.sink(
    "alarms",
    connector="single_file",
    path=os.environ.get("THALWEG_OUT", "alarms.json"),
    encoder=thalweg.encode_json,
)

if __name__ == "__main__":
    thalweg.run(application)
