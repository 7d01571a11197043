"""The small server behind the page: what a browser cannot do, for this computer or, with a token, for a department."""

from __future__ import annotations

import gzip
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from monai_lesion._version import __version__
from monai_lesion.errors import InputError
from monai_lesion.models.folders import ModelFolder
from monai_lesion.page.doors import bound_socket, brings_token, check_token, is_local
from monai_lesion.page.files import page_files
from monai_lesion.page.headers import headers_of
from monai_lesion.page.requests import TYPES
from monai_lesion.page.workers import Worker

try:
    from fastapi import FastAPI, File, Form, Request, Response, UploadFile
    from fastapi.responses import JSONResponse
    from starlette.concurrency import run_in_threadpool
    from starlette.formparsers import MultiPartParser
except ImportError as absent:
    raise InputError("the page", "needs FastAPI", fix="pip install 'monai-lesion[page]'") from absent

logger = logging.getLogger(__name__)

TOKEN = "MONAI_LESION_TOKEN"
LOCAL = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Limits:
    """What one request may take.

    Args:
        megabytes: size of its body.
        seconds: time to work on it.
        gigabytes: address space of the process that reads it.
    """

    megabytes: float = 64
    seconds: float = 60
    gigabytes: float = 16


def page_app(
    models: Sequence[ModelFolder],
    *,
    where: str = "127.0.0.1",
    token: str | None = None,
    limits: Limits | None = None,
) -> FastAPI:
    """Build the server.

    Args:
        models: the networks to offer; the page opens with the first.
        where: the address it is reached at, as the page names it.
        token: what a request must bring; None for none.
        limits: of one request.

    Raises:
        InputError: see :func:`~monai_lesion.page.files.page_files`.
    """
    limits = limits or Limits()
    most = int(limits.megabytes * 2**20)
    MultiPartParser.spool_max_size = most  # nothing is written to disk
    content = page_files(models, server={"where": where, "formats": list(TYPES)})
    packed = {name: gzip.compress(value, mtime=0) for name, value in content.items() if not name.endswith(".gz")}
    folders = {model.description.name: model.path for model in models}
    worker = Worker(folders, seconds=limits.seconds, memory=int(limits.gigabytes * 2**30))
    app = FastAPI(title="monai_lesion", version=__version__, docs_url=None, redoc_url=None)
    app.state.worker = worker

    @app.middleware("http")
    async def guarded(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        started = time.monotonic()
        refused = _refusal(request.headers, request.method, request.url.path, token, most, where)
        response = JSONResponse({"detail": refused[1]}, refused[0]) if refused else await call_next(request)
        if request.method != "GET":  # no name, no address, nothing of the picture
            took = time.monotonic() - started
            logger.info("%s %s %d, %.2f s", request.method, request.url.path[:40], response.status_code, took)
        return response

    @app.exception_handler(InputError)
    async def explained(request: Request, error: InputError) -> Response:
        return JSONResponse({"detail": str(error)}, 422)

    @app.get("/models")
    async def models_offered() -> list[dict[str, Any]]:
        """List the networks that the server offers."""
        kept = ("name", "network", "weights_id", "input_size", "licence", "notice")
        return [{key: model.description.to_dict()[key] for key in kept} for model in models]

    @app.post("/segment", response_class=Response)
    async def segment(
        file: Annotated[UploadFile, File(description="PNG, JPEG, BMP, TIFF or DICOM")],
        model: Annotated[str, Form(description="name of a network of /models")] = models[0].description.name,
        format: Annotated[str, Form(description=", ".join(TYPES))] = "json",
        frame: Annotated[int | None, Form(description="frame of a cine, counted from 0", ge=0)] = None,
        mask: Annotated[UploadFile | None, File(description="a mask that a reader corrected, PNG")] = None,
    ) -> Response:
        """Segment one picture: JSON, a mask, or a DICOM object comes back."""
        sent = {"file": await file.read(), "mask": None if mask is None else await mask.read()}
        data, kind = await run_in_threadpool(worker, {**sent, "model": model, "format": format, "frame": frame})
        return Response(data, media_type=kind)

    @app.get("/{path:path}", include_in_schema=False)
    async def static(path: str, request: Request) -> Response:
        name = path or "index.html"
        if name not in content:
            return JSONResponse({"detail": "no such file"}, 404)
        headers = {**headers_of(name), "Vary": "Accept-Encoding"}
        if name in packed and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed[name], headers={**headers, "Content-Encoding": "gzip"})
        return Response(content[name], headers=headers)

    return app


def serve_page(
    models: Sequence[ModelFolder],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    limits: Limits | None = None,
    started: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve the page until interrupted.

    Args:
        models: the networks to offer.
        host: address to listen on; any but this computer's own needs a token in ``MONAI_LESION_TOKEN``.
        port: 0 for a free one.
        limits: of one request.
        started: called with the page's address once it answers.

    Raises:
        InputError: for a missing or short token, a port that is taken, and see :func:`page_app`.
    """
    token = os.environ.get(TOKEN) or None
    check_token(token, host, where="--host", name=TOKEN)
    listening = bound_socket(host, port, where="--port", fix="Choose another, or 0")
    name = f"[{host}]" if ":" in host else host
    where = f"{name}:{listening.getsockname()[1]}"
    app = page_app(models, where=where, token=token, limits=limits)
    import uvicorn

    app.state.worker.start()
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_keep_alive=20)
    listening.listen(64)
    started(f"http://{where}/" + (f"#token={token}" if token else ""))
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        app.state.worker.close()
        listening.close()


def _refusal(
    headers: Mapping[str, str], method: str, path: str, token: str | None, most: int, where: str
) -> tuple[int, str] | None:
    """Why a request is not worked on: its status and the reason."""
    host, origin = headers.get("host", ""), headers.get("origin")
    own = where.rpartition(":")[0]
    named = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
    if is_local(own.strip("[]")) and named not in LOCAL:
        return 421, "this page is for the computer it runs on"  # another name that leads here: DNS rebinding
    if origin is not None and origin.partition("://")[2] != host:
        return 403, "requests from other pages are refused"
    if method not in ("GET", "HEAD", "POST"):
        return 405, "GET or POST"
    guarded = method == "POST" or path == "/models"
    if guarded and token is not None and not brings_token(headers.get("authorization"), token):
        return 401, "needs the token"
    if method == "POST":
        size = headers.get("content-length", "")
        if not size.isdigit():
            return 411, "needs Content-Length"
        if int(size) > most:
            return 413, f"must have at most {most} bytes"
    return None
