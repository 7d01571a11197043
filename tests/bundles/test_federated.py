"""The bundle under MONAI's client for federated training: two simulated centres, two rounds of averaging."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_lesion.datasets.manifests import write_manifest
from tests.bundles import PLAIN_NETWORK

BUNDLE = Path(__file__).parents[2] / "bundles" / "lighter_unet"
SIDE, TRAINED, VALIDATED, LOCAL_EPOCHS = 32, 4, 6, 8
OPTIONS = {
    "network_def": PLAIN_NETWORK,
    "train#preprocessing#augment": False,
    "spatial_size": [SIDE, SIDE],
    "batch_size": TRAINED,
    "learning_rate": 0.01,
    "patience": 1_000_000,
    "amp": False,
    "device": "cpu",
    "progress": False,
    "tensorboard": False,
}


def write_case(folder, name, rng, *, gain, offset, radius, grain):
    """A dark ellipse in speckle, as a device with this gain and this size of speckle grains shows it."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    (centre_y, centre_x), (height, width) = rng.uniform(0.35, 0.65, 2), rng.uniform(0.75, 1.25, 2) * radius
    inside = ((y - centre_y) / height) ** 2 + ((x - centre_x) / width) ** 2 < 1
    speckle = rng.rayleigh(1.0, (SIDE // grain, SIDE // grain)).repeat(grain, 0).repeat(grain, 1)
    pixels = (speckle * np.where(inside, 35, 75) * gain + offset).clip(0, 255)
    Image.fromarray(np.repeat(pixels[..., None], 3, axis=2).astype(np.uint8)).save(folder / f"{name}.png")
    Image.fromarray(inside.astype(np.uint8) * 255).save(folder / f"{name}_mask.png")
    return {"case_id": name, "view": "front", "image": f"{name}.png", "label": f"{name}_mask.png"}


def write_centres(folder, seed=0):
    """Manifests of two centres whose devices and patients differ, and of both validation sets together."""
    rng, pooled = np.random.default_rng(seed), []
    small = {"gain": 1.0, "offset": 0, "radius": 0.14, "grain": 1}
    large = {"gain": 0.45, "offset": 90, "radius": 0.32, "grain": 2}
    for centre, look in {"a": small, "b": large}.items():
        cases = [write_case(folder, f"{centre}{number}", rng, **look) for number in range(TRAINED + VALIDATED)]
        pooled += cases[TRAINED:]
        lists = {"training": cases[:TRAINED], "validation": cases[TRAINED:]}
        write_manifest({"name": centre, "labels": {}, **lists}, folder / f"{centre}.json")
        first = cases[:1]
    write_manifest({"name": "pooled", "labels": {}, "training": first, "validation": pooled}, folder / "pooled.json")


def client(folder, manifest, output, *, local_epochs=LOCAL_EPOCHS):
    from monai.fl.client import MonaiAlgo
    from monai.fl.utils.constants import ExtraItems

    paths = {"manifest": str(folder / f"{manifest}.json"), "ckpt_dir": str(output), "output_dir": str(output)}
    options = {**OPTIONS, **paths}
    with warnings.catch_warnings():  # that a federation's server can run code, as docs/how-to/federated.md says
        warnings.simplefilter("ignore")
        made = MonaiAlgo(
            str(BUNDLE),
            local_epochs=local_epochs,
            send_weight_diff=False,
            config_evaluate_filename="configs/train.json",
            train_kwargs=dict(options),
            eval_kwargs=dict(options),
        )
        made.initialize({ExtraItems.CLIENT_NAME: manifest})
    return made


def weights(made):
    return {name: tensor.clone() for name, tensor in made.get_weights().weights.items()}


def exchange(state):
    from monai.fl.utils.exchange_object import ExchangeObject

    return ExchangeObject(weights=copy.deepcopy(state))


def federate(folder, *, rounds=2):
    """Loss and Dice on the pooled validation sets: of both centres alone, and of the shared network."""
    judge = client(folder, "pooled", folder / "judge")
    start = weights(judge)

    def score(state):
        return judge.evaluate(exchange(state)).metrics

    scores = {}
    for centre in "ab":
        alone = client(folder, centre, folder / f"alone_{centre}", local_epochs=rounds * LOCAL_EPOCHS)
        alone.train(exchange(start))
        scores[centre] = dict(score(weights(alone)))
    centres, shared = [client(folder, centre, folder / f"shared_{centre}") for centre in "ab"], start
    for _ in range(rounds):
        trained = []
        for centre in centres:
            centre.train(exchange(shared))
            trained.append(weights(centre))
        shared = {name: torch.stack([state[name] for state in trained]).float().mean(0) for name in shared}
    return {**scores, "start": dict(score(start)), "shared": dict(score(shared))}, centres


@pytest.mark.slow
def test_the_shared_network_is_no_worse_than_that_of_either_centre_alone(tmp_path):
    write_centres(tmp_path)
    scores, centres = federate(tmp_path)
    assert scores["shared"]["val_loss"] <= min(scores["a"]["val_loss"], scores["b"]["val_loss"]), scores
    assert scores["shared"]["val_loss"] < scores["start"]["val_loss"] - 0.05, scores
    for name, made in zip("ab", centres, strict=True):
        log = (tmp_path / f"shared_{name}" / "metrics.csv").read_text().splitlines()
        assert [line.split(",")[0] for line in log[1:]] == [str(epoch + 1) for epoch in range(2 * LOCAL_EPOCHS)]
        assert made.trainer.state.epoch == 2 * LOCAL_EPOCHS


if __name__ == "__main__":
    import logging
    import sys
    import tempfile

    logging.disable(logging.WARNING)
    for argument in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as place:
            write_centres(Path(place), int(argument))
            found, _ = federate(Path(place))
            print(argument, {k: {n: round(v, 4) for n, v in m.items()} for k, m in found.items()}, flush=True)
