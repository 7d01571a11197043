"""One thread for NumPy and SciPy, as threadpoolctl reads it from their libraries."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest
import scipy.linalg  # noqa: F401 (its library is limited too)
from threadpoolctl import threadpool_info, threadpool_limits

from monai_lesion.calipers import Annotations, detection, removal
from monai_lesion.machine.threads import one_blas_thread


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def three_threads():
    with threadpool_limits(3, user_api="blas"):
        yield


def test_the_limit_ends_with_the_last_who_wants_it():
    with ExitStack() as first, ExitStack() as second:  # as two threads of Python overlap
        first.enter_context(one_blas_thread)
        second.enter_context(one_blas_thread)
        first.close()
        assert blas_threads() == {1}
        second.close()
        assert blas_threads() == {3}


def test_an_error_ends_it():
    with pytest.raises(ZeroDivisionError), one_blas_thread:
        raise ZeroDivisionError
    assert blas_threads() == {3}


@pytest.mark.parametrize(
    ("module", "work"),
    [(detection, detection.find_annotations), (removal, lambda image: removal.annotation_mask(image, Annotations()))],
    ids=["found", "masked"],
)
def test_calipers_are_found_and_masked_with_one_thread(module, work, monkeypatch):
    seen, check = [], module.checked_picture
    monkeypatch.setattr(module, "checked_picture", lambda image: seen.append(blas_threads()) or check(image))
    work(np.zeros((32, 32), np.uint8))
    assert (seen, blas_threads()) == ([{1}], {3})
