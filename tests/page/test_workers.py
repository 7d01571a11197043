"""A process that strangers' files may end."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from monai_lesion.errors import InputError
from monai_lesion.models.presets import load_preset
from monai_lesion.page.workers import Worker

JOB = {"model": "pocket", "format": "png"}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = Worker({"pocket": load_preset("pocket").path}, seconds=60)
    yield made
    made.close()


@pytest.fixture(scope="module")
def picture() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.slow
def test_a_process_that_ended_or_hung_is_replaced(worker: Worker, picture: bytes) -> None:
    assert worker({**JOB, "file": picture})[1] == "image/png"
    worker.process.kill()
    worker.process.join()
    assert worker({**JOB, "file": picture})[1] == "image/png"
    worker.seconds = 0.0
    with pytest.raises(InputError, match="file: must be worked on within 0 seconds, got more"):
        worker({**JOB, "file": picture})
    worker.seconds = 60
    with pytest.raises(InputError, match="must be a readable picture"):
        worker({**JOB, "file": b"%!PS-Adobe-3.0 EPSF-3.0"})
    assert worker({**JOB, "file": picture})[1] == "image/png"


def test_a_network_that_does_not_load_is_named() -> None:
    with pytest.raises(InputError, match=r"models: must load, got .*nowhere"):
        Worker({"mine": load_preset("pocket").path / "nowhere"}, seconds=1).start()
