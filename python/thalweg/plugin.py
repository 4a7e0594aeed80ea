"""What `pip install thalweg` adds to pytest: the fixture `thalweg_driver`."""

from __future__ import annotations

import pytest

from .testing import Driver


@pytest.fixture
def thalweg_driver() -> type[Driver]:
    """Makes drivers: `driver = thalweg_driver(application)`."""
    return Driver
