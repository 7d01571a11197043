"""The data and the file of a small study."""

import json

import pytest
import torch

from monai_lesion.phantoms.files import write_phantoms
from tests.study.small import SMALL


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases") / "data"
    return write_phantoms(folder, cases=4, seed=2, workers=0, progress=False)


@pytest.fixture
def study_file(tmp_path):
    def write(**changes):
        (tmp_path / "study.json").write_text(json.dumps({**SMALL, **changes}))
        return tmp_path / "study.json"

    return write


@pytest.fixture
def one_thread():
    """The same sums in the same order, here and on Ray."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
