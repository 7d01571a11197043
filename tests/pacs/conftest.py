"""What the tests that talk to an archive are given."""

import pytest

from tests.pacs import bright_segmenter
from tests.pacs.orthanc import running_orthanc


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    """A real Orthanc, empty at first."""
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def segmenter():
    """A network that needs no weights."""
    return bright_segmenter()
