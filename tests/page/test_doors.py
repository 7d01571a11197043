"""Tokens and sockets of our HTTP servers."""

from __future__ import annotations

import pytest

from monai_lesion.errors import InputError
from monai_lesion.page.doors import bound_socket, brings_token, check_token

TOKEN = "a secret of enough letters"


def test_a_server_that_others_reach_needs_a_token_that_is_long():
    check_token(None, "localhost", where="--host", name="TOKEN")
    check_token(TOKEN, "0.0.0.0", where="--host", name="TOKEN")
    with pytest.raises(InputError, match="--host: needs a token"):
        check_token(None, "0.0.0.0", where="--host", name="TOKEN")
    with pytest.raises(InputError, match="TOKEN: must have at least 16"):
        check_token("short", "localhost", where="--host", name="TOKEN")


@pytest.mark.parametrize(("header", "good"), [(f"Bearer {TOKEN}", True), (None, False), ("Bearer é", False)])
def test_only_the_token_opens(header, good):
    assert brings_token(header, TOKEN) is good


def test_a_port_that_is_taken_is_named():
    first = bound_socket("127.0.0.1", 0, where="--port", fix="")
    first.listen()
    try:
        with pytest.raises(InputError, match=r"--port: 127.0.0.1:\d+ must be free"):
            bound_socket("127.0.0.1", first.getsockname()[1], where="--port", fix="")
    finally:
        first.close()
