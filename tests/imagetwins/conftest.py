"""A store with one past run, for the tests of what is asked about past runs."""

import pytest

from tests.support.audited import PATHS, SCORES
from tests.support.past_runs import image_table, write_run


@pytest.fixture
def store(tmp_path):
    # A name full of characters that patterns, SQL and Hive partitions are made of.
    return tmp_path / "a [store] 'of' year=2024"


@pytest.fixture
def run(store):
    return write_run(
        store, "20261120T020000Z-1", image_table(PATHS, errors={"/pictures/bad.jpg": "not a picture"}), SCORES
    )
