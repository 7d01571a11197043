"""Lines with time and level, and no word of the libraries that quote a header."""

from __future__ import annotations

import logging
import re
import subprocess
import sys

import pytest

from monai_lesion.errors import InputError
from monai_lesion.pacs.logs import quieten, start_logging

CHILD = """
import logging, sys
from pathlib import Path
from monai_lesion.pacs.logs import start_logging
start_logging(sys.argv[1], Path(sys.argv[2]))
import pydicom, pynetdicom, warnings
pydicom.dataelem.validate_value("DA", "Planted Petra", pydicom.config.WARN)
for name in ("pydicom", "pydicom.pixels.utils", "pynetdicom.acse", "pynetdicom"):
    logging.getLogger(name).error("Planted^Petra")
logging.getLogger("monai_lesion.x").debug("one")
logging.getLogger("monai_lesion.x").info("two")
logging.getLogger("monai_lesion.x").warning("three")
"""


@pytest.mark.slow
def test_lines_have_time_and_level_on_both_ways_and_quote_nobody(tmp_path):
    pytest.importorskip("pynetdicom", reason="DIMSE needs pynetdicom")
    file = tmp_path / "logs" / "listen.log"
    done = subprocess.run([sys.executable, "-c", CHILD, "Info", str(file)], capture_output=True, text=True)
    assert done.stdout == ""
    assert file.read_text() == done.stderr
    lines = done.stderr.splitlines()
    assert [line.split()[-1] for line in lines] == ["two", "three"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} [A-Z]+ \w+", line) for line in lines)


def test_level_that_was_chosen_is_left():
    library = logging.getLogger("pynetdicom")
    library.setLevel(logging.INFO)
    quieten()
    assert library.level == logging.INFO


def test_unknown_level_and_file_that_cannot_be_written_are_refused(tmp_path):
    with pytest.raises(InputError, match="must be one of debug, info, warning, error, got loud"):
        start_logging("loud")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--log-file: must be a file that can be written"):
        start_logging("info", tmp_path / "file" / "x.log")
