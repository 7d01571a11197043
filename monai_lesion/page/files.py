"""Every file of the page: what ``make page`` built, models, and what ties them together.

::

    static/ (from web/) --+
    model folders --------+-- files by their path --+-- a folder for any web server (write_page)
    server, if any -------+                         +-- the server's memory (monai_lesion.page.servers)
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.files import replacing_folder
from monai_lesion.models.folders import ModelFolder
from monai_lesion.page.headers import apache, nginx

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def page_files(models: Sequence[ModelFolder], *, server: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """Collect the page.

    Args:
        models: the networks that the reader may choose; the page opens with the first.
        server: what the server behind the page tells it; None where the page is only files.

    Returns:
        The content of each file by its path from the page's own folder.

    Raises:
        InputError: when the page was not built, or a model is none that a browser can run.
    """
    static = files("monai_lesion.page") / "static"
    if not (static / "index.html").is_file():
        raise InputError("page", "must be built", got="no static files", fix="Run make page, or install the wheel")
    content = dict(_walk(static))
    names = [_checked(model) for model in models]
    if len(set(names)) < len(names):
        raise InputError("models", "must have different names", got=", ".join(names))
    for name, model in zip(names, models, strict=True):
        folder = f"presets/{name}"
        content[f"{folder}/model.json"] = _text(model.description.to_dict())
        content[f"{folder}/model.onnx.gz"] = gzip.compress(model.model.read_bytes(), mtime=0)
        card = model.card.read_bytes() if model.card.is_file() else b"This network has no model card.\n"
        content[f"{folder}/card.txt"] = card
    content["presets/index.json"] = _text([{"name": name, "default": name == names[0]} for name in names])
    content["server.json"] = _text(server)
    content["files.json"] = b""  # it lists itself, too
    first = [
        path
        for path in content
        if not path.startswith("presets/") or path.startswith((f"presets/{names[0]}/", "presets/index"))
    ]
    version = hashlib.sha256(b"".join(path.encode() + value for path, value in sorted(content.items()))).hexdigest()
    kept = ["./", *(path for path in sorted(first) if path not in ("index.html", "sw.js"))]
    content["files.json"] = _text({"version": version[:16], "files": kept})
    return content


def write_page(output: str | Path, models: Sequence[ModelFolder]) -> Path:
    """Write the page into a folder that any web server can serve, with the headers that nginx and Apache need.

    Args:
        output: a new or empty folder.
        models: see :func:`page_files`.

    Raises:
        InputError: see :func:`page_files`; when the folder is not empty.
    """
    target = check_output(output)
    content = page_files(models)
    content[".htaccess"], content["headers.nginx.conf"] = apache().encode(), nginx().encode()
    with replacing_folder(target) as partial:
        for path, value in content.items():
            file = partial / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(value)
    return target


def check_output(output: str | Path) -> Path:
    """Check that a page can be written to a folder.

    Raises:
        InputError: when it is a file, or not empty.
    """
    target = Path(output)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(output, "must be a new or empty folder", got="a file" if target.is_file() else "files in it")
    return target


def _walk(folder: Any, prefix: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in sorted(folder.iterdir(), key=lambda item: item.name):
        path = f"{prefix}{each.name}"
        found += _walk(each, f"{path}/") if each.is_dir() else [(path, each.read_bytes())]
    return found


def _checked(model: ModelFolder) -> str:
    """The model's name, if a browser can run it."""
    about = model.description
    if about.format != "onnx" or about.end_to_end:
        got = f"{about.format}, end to end" if about.end_to_end else about.format
        raise InputError(model.path, "the page runs ONNX models of the network alone", got=got, fix="--format onnx")
    if not NAME.fullmatch(about.name):
        raise InputError(model.path, "the model's name must be letters, digits, '.', '_' and '-'", got=about.name)
    return about.name


def _text(value: Any) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()
