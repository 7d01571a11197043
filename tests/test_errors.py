from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from monai_lesion.errors import ImageError, InputError, flag, printable, root_cause


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("a.png", "must be grey"), {}, "a.png: must be grey"),
        (("a.png", "must be grey"), {"got": "colours"}, "a.png: must be grey, got colours"),
        (("n", "must be 1"), {"got": 0, "fix": "Use 1"}, "n: must be 1, got 0. Use 1"),
        (("all is said here",), {}, "all is said here"),
    ],
    ids=["rule", "got", "fix", "whole"],
)
def test_message_names_place_rule_finding_and_fix(arguments, options, message):
    assert str(InputError(*arguments, **options)) == message


def test_what_a_name_or_a_header_says_cannot_move_the_cursor_or_begin_a_line():
    message = str(InputError("a\x1b[2J\nerror: b.png", "must be grey", got="red\r\x9b1m\u202egnp", fix="Save it"))
    assert message == "a\\x1b[2J\\nerror: b.png: must be grey, got red\\r\\x9b1m\\u202egnp. Save it"
    assert message.isprintable()


@pytest.mark.parametrize("text", ["scan 1.png", "Müller_β.png", "山.dcm"])
def test_ordinary_names_stay(text):
    assert printable(text) == text


def test_a_name_that_is_not_text_can_be_printed():
    assert printable(b"a\xff.png".decode("utf-8", "surrogateescape")).encode() == b"a\\udcff.png"


def test_an_error_survives_the_way_out_of_a_worker_process():
    error = pickle.loads(pickle.dumps(ImageError("a.png", "must be grey", got="colours")))
    assert type(error) is ImageError
    assert str(error) == "a.png: must be grey, got colours"


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("False", False), (True, True), (False, False)])
def test_flags_may_be_text(value, expected):
    assert flag("amp", value) is expected


@pytest.mark.parametrize("value", ["flase", "", 1, None])
def test_a_flag_that_is_neither_is_named(value):
    with pytest.raises(InputError, match=f"--amp: must be true or false, got {value!r}"):
        flag("amp", value)


def chained(first, *later):
    try:
        if later:
            try:
                raise chained(*later)
            except Exception as cause:
                raise first from cause
        raise first
    except Exception as error:
        return error


def test_root_is_the_input_error_wherever_it_stands():
    reason = InputError("a", "b")
    assert root_cause(chained(RuntimeError("outer"), reason, KeyError("inner"))) is reason


def test_root_is_the_first_error_where_none_is_an_input_error():
    first = TypeError("unexpected keyword argument 'group_sise'")
    assert root_cause(chained(RuntimeError("outer"), RuntimeError("middle"), first)) is first


def test_a_bundles_traceback_ends_with_the_reason():
    code = """
from monai_lesion.errors import InputError, explain_input_errors
explain_input_errors()
try:
    raise InputError("a.json", "must exist")
except InputError as error:
    raise RuntimeError("Failed to instantiate component") from error
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.rstrip().splitlines()[-1] == "The reason: a.json: must exist"
