from __future__ import annotations

import pytest

from tests.small_networks import make_segmenter, small_network


@pytest.fixture(scope="session")
def network():
    return small_network()


@pytest.fixture
def segmenter(network):
    return make_segmenter(network)
