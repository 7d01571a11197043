from __future__ import annotations

import pytest

from tests.small_networks import small_network


@pytest.fixture(scope="session")
def network():
    return small_network()
