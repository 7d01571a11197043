"""Pack a bundle with its weights into one zip file, for a release or a hub."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.files import parse_json, replacing
from monai_lesion.models.bundle_networks import read_bundle
from monai_lesion.models.bundles import bundle_files

REQUIRED = ("LICENSE", "configs/metadata.json", "configs/inference.json")
WEIGHTS = "models/model.pt"
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first time that a zip file can tell


def package_bundle(bundle: str | Path, output: str | Path, *, weights: str | Path | None = None) -> Path:
    """Write a bundle's folder, weights included and nothing else, as a zip file.

    ::

        lighter_unet/  LICENSE  configs/*  docs/*  models/model.pt

    The same bundle and weights give the same bytes: files sorted, without compression, of one time and one mode. The
    weights are a plain state dict, which is what the bundle specification asks for and MONAI's verbs read without being
    told a key. Whatever else the checkpoint held is left out, so that ``configs/inference.json`` must say the same
    network and input size.

    Args:
        bundle: folder of the bundle.
        output: the ``.zip`` to write, whole or not at all; an existing one is replaced.
        weights: file with the weights; None takes ``models/model.pt`` of the bundle.

    Returns:
        ``output``.

    Raises:
        InputError: when the folder is not a complete bundle, or ``output`` is a folder or does not end in ``.zip``.
        CheckpointError: when the weights are missing, damaged, or of another network or input size than
            ``configs/inference.json``.

    Source:
        MONAI Bundle Specification, "Directory Structure" and "Archive Format".
    """
    root, target = Path(bundle), Path(output)
    if target.is_dir():
        raise InputError(target, "must be a file to write", got="a folder", fix=f"Name one in it: {target / 'X.zip'}")
    if target.suffix != ".zip":
        raise InputError(target, "must end in .zip", got=target.suffix or "no ending")
    contents = {name: (root / name).read_bytes() for name in bundle_files(root)}
    _check(root, contents)
    network = read_bundle(root, weights=weights, as_trained=False).network
    contents[WEIGHTS] = _state_file(network)
    with replacing(target) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(f"{root.resolve().name}/{name}", EARLIEST)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # the same on every system: -rw-r--r--
            archive.writestr(entry, contents[name])
    return target


def _check(root: Path, contents: dict[str, bytes]) -> None:
    for name in REQUIRED:
        if name not in contents:
            raise InputError(root, f"must be a bundle with {name}", got="no such file")
    for name, content in contents.items():
        if name.endswith(".json"):
            try:
                parsed = parse_json(content)
            except ValueError as error:
                raise InputError(root / name, "must be JSON", got=error) from error
            if not isinstance(parsed, dict):
                raise InputError(root / name, "must be a JSON object", got=type(parsed).__name__)
            if name == "configs/metadata.json" and parsed.get("version") not in parsed.get("changelog", {}):
                rule = "the changelog must mention the version"
                raise InputError(root / name, rule, got=f"version {parsed.get('version')}")


def _state_file(network: nn.Module) -> bytes:
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
