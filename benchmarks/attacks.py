"""Try hostile and damaged files on what opens files, and print one table: attack, tries, survived.

    python benchmarks/attacks.py [--tries 250] [--seed 0]

PNG, JPEG, DICOM, NIfTI, manifests (JSON) and model folders are mutated: bits flipped, parts cut out, repeated or made
random. An attempt is survived when the file is read, or refused by an ``InputError`` that names it, within ten seconds.
Saves are killed half-way, and survived when the file is the old one or the new one and the next save leaves nothing
else. Where ``attack_peers.py`` lies beside this file, its fake archives and senders are tried too.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from monai_lesion.datasets.manifests import read_manifest
from monai_lesion.errors import InputError
from monai_lesion.images.reading import image_size, read_image, read_mask
from monai_lesion.models.folders import read_model
from monai_lesion.models.presets import load_preset
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom

SECONDS = 10
KILLS = 20
SAVE = """
import sys
from pathlib import Path
from monai_lesion.files import replacing
print("ready", flush=True)
while True:
    with replacing(Path(sys.argv[1])) as partial:
        partial.write_bytes(b"new" * 1_000_000)
"""


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one to eight injuries."""
    parts = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        begin = chance.randrange(max(len(parts), 1))
        end = min(begin + chance.choice((1, 2, 4, 16, 256)), len(parts))
        kind = chance.randrange(5)
        if kind == 0 and parts:
            parts[begin] ^= 1 << chance.randrange(8)
        elif kind == 1:
            parts[begin:end] = chance.randbytes(end - begin)
        elif kind == 2:
            del parts[begin:end]
        elif kind == 3:
            parts[begin:begin] = parts[begin:end]
        else:
            del parts[begin + chance.randrange(len(parts) - begin + 1) :]
    return bytes(parts)


def survives(attempt: Callable[[], object]) -> bool:
    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        attempt()
    except InputError:
        return True
    except Exception as error:
        print(f"  not survived: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    finally:
        signal.alarm(0)
    return True


def read_all(file: Path) -> None:
    for read in (read_image, read_mask, image_size):
        try:
            read(file)
        except InputError:
            continue


def good_files(folder: Path) -> dict[str, tuple[Path, Callable[[Path], object]]]:
    case = simulate_case(0, 0)
    view = case.views[0]
    picture = Image.fromarray(view.pixels).resize((160, 96))
    picture.save(folder / "a.png")
    picture.save(folder / "a.jpg")
    write_dicom(folder / "a.dcm", case, view, seed=0)
    nibabel.save(nibabel.Nifti1Image(np.asarray(picture.convert("L")).T, np.eye(4)), folder / "a.nii")
    entries = [{"case_id": str(n), "view": "x", "image": f"{n}.png", "label": f"m{n}.png"} for n in range(4)]
    (folder / "a.json").write_text(json.dumps({"name": "a", "training": entries}))
    readers = {"png": read_all, "jpg": read_all, "dcm": read_all, "nii": read_all, "json": read_manifest}
    names = {"png": "PNG", "jpg": "JPEG", "dcm": "DICOM", "nii": "NIfTI", "json": "JSON"}
    return {f"mutated {names[end]}": (folder / f"a.{end}", read) for end, read in readers.items()}


def fuzz(folder: Path, tries: int, chance: random.Random) -> Iterator[tuple[str, int, int]]:
    for name, (file, read) in good_files(folder).items():
        data, target = file.read_bytes(), folder / f"bad{file.suffix}"
        count = 0
        for _ in range(tries):
            target.write_bytes(mutated(data, chance))
            count += survives(lambda read=read, target=target: read(target))
        yield name, tries, count
    model = folder / "model"
    shutil.copytree(load_preset().path, model)
    files = {name: (model / name).read_bytes() for name in ("model.json", "model.onnx")}
    count = 0
    for _ in range(tries):
        name = chance.choice(("model.json", "model.json", "model.onnx"))
        (model / name).write_bytes(mutated(files[name], chance))
        count += survives(lambda: read_model(model))
        (model / name).write_bytes(files[name])
    yield "mutated model folders", tries, count


def kills(folder: Path, chance: random.Random) -> Iterator[tuple[str, int, int]]:
    target, count = folder / "kills" / "a.bin", 0
    for _ in range(KILLS):
        process = subprocess.Popen([sys.executable, "-c", SAVE, target], stdout=subprocess.PIPE)
        process.stdout.readline()  # type: ignore[union-attr]
        time.sleep(chance.uniform(0.001, 0.05))
        process.kill()
        process.wait()
        whole = not target.exists() or target.read_bytes() == b"new" * 1_000_000
        code = "import sys; from pathlib import Path; from monai_lesion.files import sweep; sweep(Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, target.parent], check=True)
        count += whole and not list(target.parent.glob(".partial-*"))
    yield "kills within a save", KILLS, count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=250, help="mutations of each of the six kinds of file")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    rows: list[tuple[str, int, int]] = []
    with tempfile.TemporaryDirectory() as place:
        rows += kills(Path(place), chance)
        rows += fuzz(Path(place), options.tries, chance)
    try:
        from attack_peers import rows as peer_rows
    except ImportError:
        print("attack_peers.py is not beside this file: no peers are tried", file=sys.stderr)
    else:
        rows += peer_rows(KILLS)
    print("| attack | tries | survived |\n|---|---:|---:|")
    for name, tries, survived in rows:
        print(f"| {name} | {tries} | {survived} |")
    sys.exit(any(survived < tries for _, tries, survived in rows))


if __name__ == "__main__":
    main()
