"""Lines of JSON with the trace."""

from __future__ import annotations

import json
import logging
import sys

import pytest

pytest.importorskip("pydantic", reason="the service needs pydantic")

from monai_lesion.service.logs import TRACE, JsonFormatter, start_json_logging


@pytest.fixture(autouse=True)
def no_trace():
    token = TRACE.set("")
    yield
    TRACE.reset(token)


def line(record):
    return json.loads(JsonFormatter().format(record))


def record(message="done", **extra):
    found = logging.getLogger("monai_lesion").makeRecord("x", logging.INFO, "f", 1, message, (), None, extra=extra)
    return found


def test_a_line_is_one_object_with_what_it_brings():
    found = line(record("two\nlines", event="sent", destination="archive", other="not a key"))
    assert found.pop("time").endswith("+00:00")
    assert found == {"level": "info", "message": "two\nlines", "event": "sent", "destination": "archive"}


def test_the_trace_of_the_image_in_hand_stands_in_every_line():
    token = TRACE.set("abc")
    try:
        assert line(record())["trace"] == "abc"
        assert line(record(trace="own"))["trace"] == "own"
    finally:
        TRACE.reset(token)
    assert "trace" not in line(record())


def test_of_an_exception_only_the_kind_is_told():
    try:
        raise ValueError("Planted^Petra")
    except ValueError:
        found = record()
        found.exc_info = sys.exc_info()
    assert line(found)["error"] == "ValueError"
    assert "Petra" not in JsonFormatter().format(found)


def test_the_file_has_the_same_lines(tmp_path):
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        start_json_logging("info", tmp_path / "log" / "service.log")
        logging.getLogger("monai_lesion").info("hello", extra={"event": "ready"})
        assert json.loads((tmp_path / "log" / "service.log").read_text())["event"] == "ready"
    finally:
        for handler in root.handlers[:]:
            handler.close()
        root.handlers[:], _ = before[0], root.setLevel(before[1])
