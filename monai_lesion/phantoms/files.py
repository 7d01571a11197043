"""A data set of simulated two-view cases: pictures, exact masks, calibration, manifest.

They let the whole chain run, from training to DICOM, where no patient data may go; they say nothing of how well a
network does on patients.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

from monai_lesion.errors import InputError
from monai_lesion.files import partial_prefix, sweep
from monai_lesion.phantoms.cases import GENERATOR, simulate_case

DEFAULT_CASES, DEFAULT_SEED = 48, 0
SUFFIXES = {"png": ".png", "dicom": ".dcm"}
MANIFESTS = {"png": "phantoms.json", "dicom": "phantoms_dicom.json"}
SHARES = {"validation": 0.2, "test": 0.2}

Entry = dict[str, Any]


def write_phantoms(
    output: str | Path,
    *,
    cases: int,
    seed: int = 0,
    formats: Sequence[str] = ("png",),
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Simulate cases and write them with their manifest; the folder appears only when it is complete.

    ::

        output/phantoms.json  images/0001_front.png  masks/0001_front.png  ...
        output/phantoms_dicom.json  images/0001_front.dcm  ...

    Args:
        output: folder to make; it must not exist, or be empty.
        cases: number of cases, two views each; 60 % train, 20 % validate, 20 % test.
        seed: random seed of the data set.
        formats: image formats to write, "png" and "dicom"; masks are always PNG.
        workers: processes; None for one per core, 0 or 1 for this one. The files are the same with any number.
        progress: whether to show a bar with the time left.

    Returns:
        The manifest: ``phantoms.json``, or ``phantoms_dicom.json`` where "png" is not asked for.

    Raises:
        InputError: for an unknown format, fewer than three cases, a negative seed, or a folder in use.
    """
    target = Path(output).absolute()
    kinds = _check(target, cases, seed, formats)
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    partial_folder = Path(tempfile.mkdtemp(prefix=partial_prefix(), dir=target.parent))
    try:
        folder = partial_folder / target.name  # not the temporary folder itself, which only its owner may read
        (folder / "images").mkdir(parents=True)
        (folder / "masks").mkdir()
        entries = dict(_write_cases(folder, cases, seed, kinds, workers, progress))
        for kind in kinds:
            content = json.dumps(_manifest(entries, seed, kind), indent=2)
            (folder / MANIFESTS[kind]).write_text(content + "\n", encoding="utf-8")
        if target.is_dir():
            target.rmdir()
        folder.rename(target)
    except OSError as error:
        if target.is_dir() and any(target.iterdir()):
            raise _in_use(target) from error
        raise
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)
    return target / MANIFESTS[kinds[0]]


def default_phantoms() -> Path:
    """The manifest of the default simulated cases, made on first use.

    They lie in ``$MONAI_LESION_CACHE`` or ``~/.cache/monai_lesion``; the folder may be deleted at any time.

    Raises:
        InputError: when the cache folder cannot be written.
    """
    cache = Path(os.environ.get("MONAI_LESION_CACHE") or "~/.cache/monai_lesion").expanduser().absolute()
    folder = cache / f"phantoms-v{GENERATOR}-{DEFAULT_CASES}-{DEFAULT_SEED}"
    manifest = folder / MANIFESTS["png"]
    if not manifest.is_file():
        try:
            write_phantoms(folder, cases=DEFAULT_CASES, seed=DEFAULT_SEED)
        except InputError:
            if not manifest.is_file():  # else another process was faster, and its files are the same
                raise
        except OSError as error:
            fix = "Set the environment variable MONAI_LESION_CACHE to a folder that you may write, with 20 MB free"
            raise InputError(cache, "the simulated cases need a folder to be kept in", got=error, fix=fix) from error
    return manifest


def _check(target: Path, cases: int, seed: int, formats: Sequence[str]) -> tuple[str, ...]:
    """The formats asked for, in fixed order."""
    names = [formats] if isinstance(formats, str) else list(formats)
    unknown = [name for name in names if name not in SUFFIXES]
    if unknown or not names:
        raise InputError(
            "formats", f"must be one or more of {', '.join(SUFFIXES)}", got=", ".join(map(str, unknown)) or "none"
        )
    if cases < 3:
        raise InputError("cases", "must be at least 3, one for each split", got=cases)
    if cases > 9999:
        raise InputError("cases", "must be at most 9999", got=cases, fix="Write several sets with other seeds")
    if seed < 0:
        raise InputError("seed", "must not be negative", got=seed)
    if target.exists() and not target.is_dir():
        raise InputError(target, "must be a folder", got="a file", fix="Choose another output")
    if target.is_dir() and any(target.iterdir()):
        raise _in_use(target)
    return tuple(name for name in SUFFIXES if name in names)


def _in_use(target: Path) -> InputError:
    fix = "Choose another output, or delete this one first"
    return InputError(target, "the output folder must be new or empty", got="a folder with files in it", fix=fix)


def _write_cases(
    folder: Path, cases: int, seed: int, kinds: tuple[str, ...], workers: int | None, progress: bool
) -> Iterator[tuple[int, list[Entry]]]:
    from monai_lesion.machine.progress_bars import bar

    job = partial(_write_case, folder, seed, kinds)
    count = min(_cores() if workers is None else workers, cases)
    shown: dict[str, Any] = {"total": cases, "title": "simulating", "unit": "case", "shown": progress}
    if count <= 1:
        for case in bar(range(cases), **shown):
            yield case, job(case)
        return
    with ProcessPoolExecutor(count) as pool:
        futures = {pool.submit(job, case): case for case in range(cases)}
        try:
            for future in bar(as_completed(futures), **shown):
                yield futures[future], future.result()
        except BaseException:  # Ctrl-C or a full disk: do not wait for the cases that are not begun
            pool.shutdown(cancel_futures=True)
            raise


def _cores() -> int:
    """The cores that this process may use, which in a container or on a cluster are fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_case(folder: Path, seed: int, kinds: tuple[str, ...], case: int) -> list[Entry]:
    """Write the files of one case; give its entries without the image."""
    from PIL import Image

    simulated = simulate_case(seed, case)
    entries = []
    for view in simulated.views:
        name = f"{simulated.case_id}_{view.view}"
        if "png" in kinds:
            Image.fromarray(view.pixels).save(folder / "images" / f"{name}.png", compress_level=2)
        if "dicom" in kinds:
            from monai_lesion.phantoms.dicom import write_dicom

            write_dicom(folder / "images" / f"{name}.dcm", simulated, view, seed=seed)
        Image.fromarray(view.mask.astype("uint8") * 255).save(folder / "masks" / f"{name}.png", compress_level=2)
        entries.append(
            {
                "case_id": simulated.case_id,
                "view": view.view,
                "image": f"images/{name}",
                "label": f"masks/{name}.png",
                "spacing": list(view.spacing),
                "centre": simulated.centre,
                "calipers": view.calipers,
                "long_axis_mm": round(view.long_axis_mm, 3),
                "short_axis_mm": round(view.short_axis_mm, 3),
            }
        )
    return entries


def _manifest(entries: dict[int, list[Entry]], seed: int, kind: str) -> dict[str, Any]:
    import random

    order = list(range(len(entries)))
    random.Random(seed).shuffle(order)
    splits: dict[str, list[int]] = {"training": order}
    for split, share in SHARES.items():
        size = max(1, round(share * len(entries)))
        splits[split], splits["training"] = splits["training"][:size], splits["training"][size:]
    listed = {
        split: [
            {**entry, "image": entry["image"] + SUFFIXES[kind]} for case in sorted(chosen) for entry in entries[case]
        ]
        for split, chosen in splits.items()
    }
    return {
        "name": "phantoms" if kind == "png" else "phantoms_dicom",
        "description": f"{len(entries)} simulated two-view ultrasound cases, generator {GENERATOR}, seed {seed}",
        "licence": "Apache-2.0",
        "reference": "monai_lesion.phantoms.files",
        "labels": {"1": "lesion"},
        **listed,
    }
