"""What monitoring asks over HTTP: whether the service lives, whether it is ready, and its metrics."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.files import no_file
from monai_lesion.page.doors import bound_socket, brings_token, check_token

try:
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import JSONResponse
except ImportError as absent:
    raise InputError("the service", "needs FastAPI", fix='pip install "monai-lesion[service]"') from absent

logger = logging.getLogger(__name__)

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OK = "ok"


def read_token(file: Path) -> str:
    """Read the secret that requests must bring.

    Raises:
        InputError: when the file is missing, readable by others, or holds none.
    """
    if (found := no_file(file)) is not None:
        raise InputError(file, "must be a file of one secret", got=found)
    try:
        mode, text = file.stat().st_mode, file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(file, "must be a file of one secret", got=getattr(error, "strerror", "no text")) from error
    if mode & 0o077:
        fix = f"Run: chmod 600 {file}"
        raise InputError(file, "must be readable by its owner alone", got=oct(mode & 0o777), fix=fix)
    check_token(text, "localhost", where="http.host", name=f"the token in {file}")
    return text


def health_app(
    *, live: Callable[[], bool], ready: Callable[[], Mapping[str, str]], metrics: Callable[[], bytes], token: str | None
) -> FastAPI:
    """Build the server.

    Args:
        live: whether every thread of the service runs.
        ready: what it needs, each ``"ok"`` or what is wrong with it.
        metrics: the page for Prometheus.
        token: what a request for metrics, and for the reasons behind "not ready", must bring; None for none.
    """
    app = FastAPI(title="monai_lesion service", docs_url=None, redoc_url=None, openapi_url=None)

    def trusted(request: Request) -> bool:
        return token is None or brings_token(request.headers.get("authorization"), token)

    @app.get("/health/live")
    def is_live() -> Response:
        alive = live()
        return JSONResponse({"live": alive}, 200 if alive else 503)

    @app.get("/health/ready")
    def is_ready(request: Request) -> Response:
        parts = dict(ready())
        good = all(each == OK for each in parts.values())
        content: dict[str, Any] = {"ready": good}
        if trusted(request):
            content["parts"] = parts
        return JSONResponse(content, 200 if good else 503)

    @app.get("/metrics")
    def measured(request: Request) -> Response:
        if not trusted(request):
            return JSONResponse({"detail": "needs the token"}, 401)
        return Response(metrics(), media_type=METRICS_TYPE)

    return app


class Endpoint:
    """The server, in a thread of its own.

    Args:
        app: from :func:`health_app`.
        host: address to listen on.
        port: port to listen on; 0 for a free one.

    Raises:
        InputError: when the port cannot be had.
    """

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        import uvicorn

        self._socket = bound_socket(host, port, where="http.port", fix="Choose another")
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(app, log_config=None, log_level="warning", access_log=False, server_header=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="monai-lesion-http", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._socket.listen(64)
        self._thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Stop answering."""
        self._server.should_exit = True
        self._thread.join(seconds)
        self._socket.close()

    def is_alive(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except Exception as error:
            logger.error("health and metrics: the server ended (%s)", type(error).__name__)
