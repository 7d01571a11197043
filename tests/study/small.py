"""A small study: networks of a few channels, on pictures of 32 x 32 pixels, two epochs each."""

from pathlib import Path

from monai_lesion.study.engines import SequentialEngine
from monai_lesion.study.runs import prepare, run_study
from monai_lesion.study.specifications import parse_study
from monai_lesion.study.trials import Place

BUNDLE = Path(__file__).parents[2] / "bundles" / "lighter_unet"
FAST = {
    "spatial_size": [32, 32],
    "max_epochs": 2,
    "min_epochs": 0,
    "batch_size": 4,
    "learning_rate": 0.003,
    "amp": False,
}
SMALL = {
    "name": "small",
    "networks": ["Lighter U-net @1", {"network": "Lighter U-net @2", "weight_decays": [0.0001], "seeds": [0]}],
    "weight_decays": [0.0001, 0],
    "seeds": [0, 1],
    "overrides": FAST,
}


def trial(manifest, folder, seed=0, **overrides):
    known = parse_study({**SMALL, "networks": ["Lighter U-net @1"], "overrides": {**FAST, **overrides}})
    return Place(folder, BUNDLE, manifest, None).trial(known, known.entries[0], 0.0001, seed)


def run(file, manifest, output, engine=None, **options):
    lines = []
    study, place = prepare(file, output, manifest=manifest, bundle=BUNDLE, **options)
    return run_study(study, place, engine or SequentialEngine(threads=1), say=lines.append), lines
