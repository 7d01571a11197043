"""What the tests of archives share: sources with a planted patient, a segmenter without weights, a small server."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pydicom
import torch

from monai_lesion import LesionSegmenter
from monai_lesion.networks import LighterUNet
from monai_lesion.pipeline.steps import Steps
from tests.dicom import SHAPE, ellipse_mask, make_source

SMALL = (
    "--bundle",
    "bundles/lighter_unet",
    "--set",
    "network_def#group_size=1",
    "--set",
    "spatial_size=[32,32]",
    "--device",
    "cpu",
)
NAME, PATIENT = "Planted^Petra", "PLANTED-4711"


class Brightness(torch.nn.Module):
    """A network that needs no training: a lesion is what is bright."""

    def forward(self, x):
        return (x[:, :1] - 0.2) * 20


def bright_segmenter(threshold: str = "0.5") -> LesionSegmenter:
    return LesionSegmenter(Brightness(), Steps(input_size=SHAPE, threshold=float(threshold)), device="cpu")


def planted(folder: Path, instance: int = 1, **changes: object) -> Path:
    """An ultrasound image of a patient whose name must turn up nowhere."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = f"1.2.826.0.1.3680043.8.498.{instance}"
    known = {"PatientName": NAME, "PatientID": PATIENT, "SOPInstanceUID": uid, "InstanceNumber": instance}
    file = make_source(folder, **{**known, **changes})
    dataset = pydicom.dcmread(file)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    lesion = np.repeat(ellipse_mask()[..., None] * np.uint8(200), 3, axis=2).tobytes()
    dataset.PixelData = lesion * int(dataset.get("NumberOfFrames") or 1)
    final = folder / f"{instance}.dcm"
    dataset.save_as(final)
    file.unlink()
    return final


def finds_everything(folder: Path) -> Path:
    """Weights of a network of the bundle that takes all that it is shown for a lesion; see SMALL."""
    state = LighterUNet(group_size=1).state_dict()
    bias = [name for name in state if name.endswith("bias")][-1]
    state[bias] += 50  # of the logit
    torch.save({"model": state}, folder / "everything.pt")
    return folder / "everything.pt"


def names_nobody(text: str) -> bool:
    return not any(word in text.lower() for word in ("planted", "petra"))


class FakeArchive:
    """A DICOMweb archive on loopback that says what it is told to: `answer` takes method, path, query and body.

    Attributes:
        url: where it is.
        asked: method and path of each request, with its query.
        bodies: what was sent to it.
    """

    def __init__(self, answer):
        self.answer, self.asked, self.bodies = answer, [], []

    @contextmanager
    def running(self) -> Iterator[FakeArchive]:
        archive = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path, _, query = self.path.removeprefix("/dicom-web/").partition("?")
                archive.asked.append(f"{self.command} {path}" + (f"?{query}" if query else ""))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                archive.bodies.append(body)
                status, media_type, content, *length = archive.answer(self.command, path, query, body)
                self.send_response(status)
                if media_type:
                    self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(length[0] if length else len(content)))
                if length:
                    self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(content)

            def do_POST(self):
                self.do_GET()

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}/dicom-web"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


@contextmanager
def stub_server(
    answers: list[int | None], body: bytes = b"[]", *, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[str]]]:
    """A server on loopback that gives these answers in turn, the last one for ever; None breaks the connection."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(f"{self.command} {self.path}")
            code = answers[min(len(asked), len(answers)) - 1]
            if code is None:
                self.connection.close()
                return
            self.send_response(code)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # a client that does not trust us hangs up
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}/dicom-web", asked
    finally:
        server.shutdown()
        server.server_close()
