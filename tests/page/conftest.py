"""The page as it is built from ``web/``: its definitions in Node.js, and the page itself in Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from monai_lesion.models.presets import load_preset
from monai_lesion.page.files import page_files
from monai_lesion.page.headers import headers_of

WEB = Path(__file__).parents[2] / "web"

RUN = """
import { pathToFileURL } from "node:url";
const core = await import(pathToFileURL(process.argv[1]).href);
let text = "";
for await (const part of process.stdin) text += part;
const plain = (key, value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
const types = { pixels: Uint8Array, rgba: Uint8ClampedArray };
const typed = (key, value) => types[key] ? types[key].from(value) : value;
const done = [];
for (const [name, ...given] of JSON.parse(text, typed)) done.push(await core[name](...given));
console.log(JSON.stringify(done, plain));
"""


def program(*names: str) -> str:
    """The first of some programs that is here; else the test is skipped."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"needs {names[0]}")
    return found


@pytest.fixture(scope="session")
def packages() -> Path:
    """``web/`` with its npm packages."""
    program("node")
    if not (WEB / "node_modules" / ".package-lock.json").is_file():
        subprocess.run([program("npm"), "install", "--no-audit", "--no-fund"], cwd=WEB, check=True, capture_output=True)
    return WEB


@pytest.fixture(scope="session")
def core(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Any]], list[Any]]:
    """Call functions of ``web/src`` in one process: ``[[name, argument, ...], ...]`` to their results."""
    output = tmp_path_factory.mktemp("core")
    command = ["npx", "vite", "build", "--config", "tests/vite.config.ts", "--outDir", str(output)]
    subprocess.run(command, cwd=packages, check=True, capture_output=True)

    def call(jobs: list[Any]) -> list[Any]:
        done = subprocess.run(
            ["node", "--input-type=module", "--eval", RUN, str(output / "core.js")],
            input=json.dumps(jobs),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    return call


class Site:
    """A web server that knows nothing but files and their headers, and remembers what was asked for."""

    def __init__(self, content: dict[str, bytes]) -> None:
        asked = self.asked = list[str]()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.split("?")[0].lstrip("/") or "index.html"
                asked.append(self.path.lstrip("/"))
                if path not in content:
                    self.send_error(404)
                    return
                self.send_response(200)
                for name, value in headers_of(path).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content[path])))
                self.end_headers()
                self.wfile.write(content[path])

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    """The page with ``pocket``, as any web server can serve it."""
    served = Site(page_files([load_preset("pocket")]))
    yield served
    served.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = program("chromium", "chromium-browser", "google-chrome")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()
