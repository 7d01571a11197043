"""The bundle of this package: where it is, which files belong to it, and how to copy it.

``setup.py`` loads this file before anything is installed, so it needs the standard library only.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from monai_lesion.errors import InputError
from monai_lesion.files import replacing_folder

logger = logging.getLogger(__name__)

NAME = "lighter_unet"
RUNS = "runs"
CHECKOUT = f"bundles/{NAME}"  # in the project's folder; the wheel has the same below monai_lesion/
# A list of what belongs, not of what does not, so that logs, caches, backups and other checkpoints stay out.
ENDINGS = {
    "configs": (".json", ".yaml", ".yml", ".conf"),
    "docs": (".md", ".txt", ".png", ".jpg", ".svg"),
    "overlays": (".json",),
}
_PACKAGE = Path(__file__).resolve().parents[1]
_ROOTED = ("train.json", "inference.json")  # the configs that stand alone


def bundle_folder() -> Path:
    """Find the bundle of this package, in the installation or in the checkout it runs from.

    Example:
        >>> (bundle_folder() / "configs" / "train.json").is_file()
        True
    """
    installed = _PACKAGE / CHECKOUT
    return installed if installed.is_dir() else _PACKAGE.parent / CHECKOUT


def refuse_links(root: Path, leave_out: Sequence[str] = ()) -> None:
    """Refuse a link in a folder that is about to be copied: it could bring any file of this machine, or never end.

    Args:
        root: the folder; it may be a link itself.
        leave_out: patterns of names that are not copied.

    Raises:
        InputError: names the link.
    """
    for place, folders, files in os.walk(root):
        folders[:], files = ([each for each in names if not _left(each, leave_out)] for names in (folders, files))
        for name in (*folders, *files):
            if os.path.islink(path := os.path.join(place, name)):
                fix = "Put the file itself there, or take the link away"
                raise InputError(path, "must be a file or folder of the bundle", got="a link", fix=fix)


def _left(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def bundle_files(root: Path) -> list[str]:
    """List the files that belong to a bundle, as paths in its folder; without weights.

    Args:
        root: folder of the bundle.

    Raises:
        InputError: when a link is among them.

    Example:
        >>> bundle_files(Path("no/such/folder"))
        []
    """
    files = [root / "LICENSE"] if (root / "LICENSE").is_file() else []
    refuse_links(root, ("models", "eval", "__pycache__", ".*", "#*"))
    for folder, endings in ENDINGS.items():
        files += [file for file in (root / folder).rglob("*") if file.is_file() and file.suffix in endings]
    names = sorted(file.relative_to(root).as_posix() for file in files)
    return [name for name in names if not any(part.startswith((".", "#")) for part in name.split("/"))]


def run_root() -> str:
    """Choose the default ``bundle_root`` of a config: the bundle in the project's folder, elsewhere ``runs``.

    In it a run keeps ``models/`` and ``eval/``, so a training never writes into an installation. MONAI Label,
    ``MonaiAlgo``, ``LesionSegmenter.from_bundle`` and :func:`init_bundle` all set their own ``bundle_root``.
    """
    if Path(CHECKOUT, "configs", "train.json").is_file():
        return CHECKOUT
    logger.info("bundle_root is %s, because this folder has no %s", RUNS, CHECKOUT)
    return RUNS


def init_bundle(output: str | Path) -> Path:
    """Copy the bundle of this package, without weights, to edit and train; the copy's runs stay inside it.

    Args:
        output: new or empty folder. It becomes the ``bundle_root`` of the copied configs,
            so that they work from any folder.

    Returns:
        The absolute path of ``output``.

    Raises:
        InputError: when the folder is in use, or the package came without its bundle.
    """
    root, target = bundle_folder(), Path(output).absolute()
    names = bundle_files(root)
    if f"configs/{_ROOTED[0]}" not in names:
        raise InputError(root, "must be the bundle of the package", got="no bundle", fix="Install monai-lesion again")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(
            target, "must be a new or empty folder", got="a folder with files in it", fix="Choose another folder"
        )
    with replacing_folder(target) as partial:
        for name in names:
            copy = partial / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((root / name).read_bytes())
        for name in _ROOTED:
            _set_root(partial / "configs" / name, target)
    return target


def _set_root(config: Path, root: Path) -> None:
    """Set ``bundle_root`` by editing the text, which keeps the layout of the config."""
    text = config.read_text(encoding="utf-8")
    key = '"bundle_root": '
    former = json.dumps(json.loads(text)["bundle_root"])
    if text.count(key + former) != 1:
        raise InputError(config, f"must set {key.strip()} once, on one line", got=text.count(key + former))
    config.write_text(text.replace(key + former, key + json.dumps(root.as_posix())), encoding="utf-8")
