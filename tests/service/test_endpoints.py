"""Health and metrics over HTTP, asked as monitoring does."""

from __future__ import annotations

import urllib.request

import pytest

pytest.importorskip("fastapi", reason="needs the extra service")
from fastapi.testclient import TestClient

from monai_lesion.errors import InputError
from monai_lesion.service.endpoints import Endpoint, health_app, read_token

TOKEN = "a secret of enough letters"


def client(token=None, parts=None, live=True):
    app = health_app(
        live=lambda: live, ready=lambda: parts or {"queue": "ok"}, metrics=lambda: b"lesion_up 1\n", token=token
    )
    return TestClient(app)


def test_a_healthy_service_says_so():
    assert client().get("/health/live").json() == {"live": True}
    assert client().get("/health/ready").json() == {"ready": True, "parts": {"queue": "ok"}}
    assert client().get("/metrics").text == "lesion_up 1\n"


def test_what_is_wrong_makes_it_not_ready_and_not_live():
    answer = client(parts={"queue": "ok", "archive": "does not answer"}).get("/health/ready")
    assert (answer.status_code, answer.json()["parts"]["archive"]) == (503, "does not answer")
    assert client(live=False).get("/health/live").status_code == 503


def test_metrics_and_reasons_need_the_token():
    guarded, good = client(TOKEN, {"archive": "does not answer"}), {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.get("/metrics").status_code == 401
    assert guarded.get("/metrics", headers={"Authorization": "Bearer other"}).status_code == 401
    assert guarded.get("/metrics", headers=good).status_code == 200
    assert guarded.get("/health/ready").json() == {"ready": False}
    assert "parts" in guarded.get("/health/ready", headers=good).json()


def test_the_server_answers_on_its_port_and_stops():
    endpoint = Endpoint(client().app, "127.0.0.1", 0)
    endpoint.start()
    with pytest.raises(InputError, match=r"http\.port: 127\.0\.0\.1:"):
        Endpoint(client().app, "127.0.0.1", endpoint.port)
    with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/health/live", timeout=60) as answer:
        assert answer.status == 200
    endpoint.stop(30)
    assert not endpoint.is_alive()


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [(TOKEN, 0o644, "owner alone"), ("short", 0o600, "at least 16"), (None, 0, "must be a file")],
    ids=["readable", "short", "missing"],
)
def test_a_bad_token_file_is_refused(tmp_path, text, mode, message):
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    with pytest.raises(InputError, match=message):
        read_token(file)
