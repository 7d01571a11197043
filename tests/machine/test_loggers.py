from __future__ import annotations

import logging

import pytest

from monai_lesion.machine.loggers import no_less_than


def test_only_what_is_grave_is_said_and_afterwards_all_again(caplog):
    logger = logging.getLogger("monai_lesion.of.a.test")
    caplog.set_level(logging.INFO, "monai_lesion")

    def fails():
        with no_less_than(logging.WARNING):
            logger.info("kept back")
            logger.warning("said")
            raise OSError("ended")

    with pytest.raises(OSError, match="ended"):
        fails()
    logger.info("said again")
    assert [record.getMessage() for record in caplog.records] == ["said", "said again"]
