"""The server behind the page, asked as a browser and as a stranger would."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_lesion import LesionSegmenter
from monai_lesion.errors import InputError
from monai_lesion.models.presets import load_preset
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom

pytest.importorskip("fastapi", reason="needs the extra page")
from fastapi.testclient import TestClient

from monai_lesion.page.servers import Limits, page_app, serve_page

LOCAL = "http://127.0.0.1:8000"
TOKEN = "a secret of enough letters"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    simulated = simulate_case(7, 3)
    Image.fromarray(simulated.views[0].pixels).save(folder / "front.png")
    write_dicom(folder / "front.dcm", simulated, simulated.views[0], seed=7)
    return folder


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = page_app([load_preset("pocket")], where="127.0.0.1:8000", limits=Limits(megabytes=4, seconds=20))
    yield TestClient(app, base_url=LOCAL)
    app.state.worker.close()


def segment(client: TestClient, file: Path | bytes, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    content = file if isinstance(file, bytes) else file.read_bytes()
    mask = fields.pop("mask", None)
    files = {"file": ("name of a patient.dcm", content), **({"mask": ("mask.png", mask)} if mask else {})}
    return client.post("/segment", files=files, data=fields, headers=headers or {})


def test_files_come_with_their_policy(client: TestClient) -> None:
    page, worker = client.get("/"), client.get("/worker.js")
    assert page.headers["content-type"].startswith("text/html")
    assert "connect-src 'none'" in worker.headers["content-security-policy"]
    assert client.get("/files.json").json()["files"][0] == "./"
    assert client.get("/server.json").json()["where"] == "127.0.0.1:8000"
    assert client.get("/../pyproject.toml").status_code == 404


def test_text_travels_packed_to_whoever_takes_it(client: TestClient) -> None:
    plain = client.get("/worker.js", headers={"Accept-Encoding": "identity"})
    packed = client.get("/worker.js", headers={"Accept-Encoding": "gzip, br"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content == plain.content
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"]) / 2
    assert packed.headers["Content-Security-Policy"] == plain.headers["Content-Security-Policy"]
    already = client.get("/wasm/ort.wasm.gz", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in already.headers  # the page unpacks it itself
    assert already.content[:2] == b"\x1f\x8b"


def test_models_and_their_interface_are_listed(client: TestClient) -> None:
    (model,) = client.get("/models").json()
    assert (model["name"], model["input_size"]) == ("pocket", [160, 160])
    assert {"/models", "/segment"} <= client.get("/openapi.json").json()["paths"].keys()


@pytest.mark.slow
def test_results_are_the_librarys(client: TestClient, case: Path) -> None:
    expected = LesionSegmenter.from_preset("pocket")(case / "front.png")
    found = segment(client, case / "front.png").json()
    assert found["measurements"] == json.loads(json.dumps(expected.to_dict()["measurements"]))
    mask = Image.open(io.BytesIO(segment(client, case / "front.png", format="png").content))
    np.testing.assert_array_equal(np.asarray(mask) > 0, expected.mask > 0)


@pytest.mark.slow
def test_dicom_comes_back_and_names_the_readers_mask(client: TestClient, case: Path) -> None:
    import pydicom

    drawn = np.zeros(simulate_case(7, 3).views[0].mask.shape, np.uint8)
    drawn[50:90, 100:180] = 255
    stream = io.BytesIO()
    Image.fromarray(drawn).save(stream, "PNG")
    answers = {
        (kind, bool(mask)): pydicom.dcmread(
            io.BytesIO(segment(client, case / "front.dcm", format=kind, mask=mask).content)
        )
        for kind in ("dicom-seg", "dicom-sr", "sc")
        for mask in (None, stream.getvalue())
    }
    assert {header.Modality for header in answers.values()} == {"SEG", "SR", "OT"}
    own, edited = (answers["dicom-seg", by].SegmentSequence[0] for by in (False, True))
    assert (own.SegmentAlgorithmType, edited.SegmentAlgorithmType) == ("AUTOMATIC", "SEMIAUTOMATIC")
    np.testing.assert_array_equal(answers["dicom-seg", True].pixel_array > 0, drawn > 0)
    assert answers["dicom-seg", False].SOPInstanceUID != answers["dicom-seg", True].SOPInstanceUID


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "other"}, "model: must be one of pocket, got 'other'"),
        ({"format": "exe"}, "format: must be one of json, png"),
        ({"mask": b"no picture"}, "mask: must be a picture"),
        ({"format": "dicom-seg"}, "dicom-seg needs a DICOM file"),
    ],
    ids=["model", "format", "mask", "DICOM of a PNG"],
)
def test_bad_requests_are_explained(fields: dict[str, Any], said: str, client: TestClient, case: Path) -> None:
    answer = segment(client, case / "front.png", **fields)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


@pytest.mark.slow
def test_a_hostile_file_does_not_stop_the_next(client: TestClient, case: Path) -> None:
    assert segment(client, b"%!PS-Adobe-3.0 EPSF-3.0").status_code == 422
    assert segment(client, case / "front.png").status_code == 200


def test_too_large_a_request_is_refused_before_it_is_read(client: TestClient) -> None:
    assert segment(client, b"0" * (5 << 20)).status_code == 413


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": LOCAL}, 200),
        ({"Host": "elsewhere.example:8000"}, 421),
        ({"Host": "localhost:8000"}, 200),
    ],
)
def test_other_pages_are_refused(headers: dict[str, str], status: int, client: TestClient, case: Path) -> None:
    assert segment(client, case / "front.png", headers).status_code == status


def test_a_token_is_asked_for(case: Path) -> None:
    app = page_app([load_preset("pocket")], where="10.0.0.5:80", token=TOKEN)
    asked = TestClient(app, base_url="http://10.0.0.5:80")
    assert asked.get("/").status_code == 200
    assert asked.get("/models").status_code == 401
    assert segment(asked, case / "front.png", {"Authorization": "Bearer wrong"}).status_code == 401
    assert asked.get("/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    app.state.worker.close()


@pytest.mark.slow
def test_the_log_says_nothing_of_the_picture(client: TestClient, case: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        segment(client, case / "front.dcm")
    assert "patient" not in caplog.text
    assert "/segment 200" in caplog.text


@pytest.mark.parametrize(
    ("token", "host", "said"),
    [(None, "0.0.0.0", "needs a token"), ("short", "127.0.0.1", "must have at least 16 characters")],
)
def test_it_does_not_start_unguarded(token: str | None, host: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONAI_LESION_TOKEN", raising=False)
    if token:
        monkeypatch.setenv("MONAI_LESION_TOKEN", token)
    with pytest.raises(InputError, match=said):
        serve_page([load_preset("pocket")], host=host)
