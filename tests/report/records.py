"""Trials as a study would have left them, without any training; pictures of a few pixels."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
from PIL import Image

from monai_lesion.measures.metrics import score_image
from monai_lesion.study.records import write_record
from monai_lesion.study.specifications import folder_name, parse_study

SIZE = (40, 48)


def make_study(root, *, networks=("U-net", "Lighter U-net @8"), seeds=(0, 1), cases=6, table="table2", **changes):
    """A study that has run: `output` below `root`, its data beside."""
    content = {
        "name": "made",
        "title": "Made results",
        "table": table,
        "networks": list(networks),
        "weight_decays": [0.0001],
        "seeds": list(seeds),
        **changes,
    }
    study = parse_study(content)
    data, output = root / "data", root / "output"
    entries = _data(data, cases)
    output.mkdir(parents=True)
    (output / "study.json").write_text(json.dumps({"study": study.content(), "manifest_file_sha256": "aa" * 32}))
    for rank, entry in enumerate(study.entries):
        for seed in seeds:
            _trial(output, data, entries, study, entry, seed, worse=rank + 0.3 * seed)
    return output


def _data(folder, cases):
    (folder / "images").mkdir(parents=True)
    generator = np.random.default_rng(0)
    entries = []
    for number in range(cases):
        for view in ("front", "side"):
            name = f"{number:02d}_{view}"
            Image.fromarray(generator.integers(0, 200, SIZE, dtype=np.uint8)).save(folder / "images" / f"{name}.png")
            Image.fromarray(_disc(20, 24, 10).astype(np.uint8) * 255).save(folder / "images" / f"{name}_mask.png")
            files = {"image": f"images/{name}.png", "label": f"images/{name}_mask.png"}
            entries.append({**files, "case_id": f"{number:02d}", "view": view})
    return entries


def _disc(row, column, radius):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def _trial(output, data, entries, study, entry, seed, *, worse):
    folder = output / "trials" / folder_name(entry.name) / f"wd0.0001-seed{seed}"
    (folder / "evaluation" / "masks").mkdir(parents=True)
    (folder / "models").mkdir()
    rows = []
    for number, listed in enumerate(entries):
        pred = _disc(20 + round(worse), 24 + number % 3, 10)
        if number == len(entries) - 1:
            pred = _disc(2, 2, 1)  # the last image is missed, and found elsewhere
        mask = f"masks/{number}.png"
        Image.fromarray(pred.astype(np.uint8) * 255).save(folder / "evaluation" / mask)
        rows.append({**listed, **score_image(pred, _disc(20, 24, 10)), "mask": mask})
    with (folder / "evaluation" / "per_image.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            {key: int(value) if isinstance(value, bool) else value for key, value in row.items()} for row in rows
        )
    (folder / "models" / "metrics.csv").write_text(
        "epoch,train_loss,val_loss,val_mean_dice,learning_rate\n1,0.8,0.7,0.2,0.0001\n2,0.6,0.5,0.4,0.0001\n"
    )
    record = {
        "state": "finished",
        "study": study.name,
        "entry": entry.name,
        "network_def": dict(entry.network_def),
        "weight_decay": 0.0001,
        "seed": seed,
        "overrides": {**study.overrides, **entry.overrides},
        "spatial_size": [64, 64],
        "max_epochs": 2,
        "epochs": 2,
        "best_val_loss": 0.5,
        "amp": True,
        "git_commit": "0123456789abcdef",
        "git_changed": False,
        "versions": {"torch": "2.13.0"},
        "device": "cpu",
        "device_name": "A Processor",
        "host": "secret-host",
        "pid": 1,
        "manifest": {"path": str(data / "manifest.json"), "dataset_dir": None, "file_sha256": "aa" * 32},
        "config_sha256": "bb" * 32,
        "weights_id": f"{seed}c" * 32,
        "wall_seconds": 90.0,
        "peak_memory": {"process_mib": 512.0},
    }
    write_record(folder, record)


def change(output, pattern, **values):
    """Change the records that match."""
    for file in output.glob(pattern):
        record = json.loads(file.read_text())
        write_record(file.parent, {**record, **values})


def read_table(page, name):
    """The rows of a table beside a page."""
    with (page.parent / "tables" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def sections(text):
    """The parts of a document by their headings."""
    return dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
