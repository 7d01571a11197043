"""Calipers are kept, removed or moved in training pictures as often as asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_lesion.calipers import draw_calipers, find_annotations
from monai_lesion.calipers.augmentations import CLEAN, FindCalipersd, RandCalipersd
from monai_lesion.errors import InputError
from monai_lesion.pipeline.transforms import preprocessing
from tests.calipers.pictures import ENDS, centres, speckle


def items(picture: np.ndarray) -> dict[str, MetaTensor]:
    colour = np.repeat(picture[None], 3, axis=0) if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return {"image": MetaTensor(torch.from_numpy(colour.copy()).float())}


def test_training_pictures_keep_lose_or_move_their_calipers_as_often_as_asked():
    drawn = draw_calipers(speckle(), [(40, 30), (52, 70)])
    found = FindCalipersd()(items(drawn))
    found = {key: value.to(torch.uint8) for key, value in found.items()}
    change = RandCalipersd(prob=0.5)
    change.set_random_state(seed=3)
    outcomes = {"kept": 0, "removed": 0, "moved": 0}
    for _ in range(60):
        result = change(dict(found))
        assert set(result) == {"image"}
        assert isinstance(result["image"], MetaTensor)
        assert result["image"].dtype == torch.uint8
        picture = result["image"].numpy()[0]
        if (picture == drawn).all():
            outcomes["kept"] += 1
        elif (picture == found[CLEAN].numpy()[0]).all():
            outcomes["removed"] += 1
        else:
            outcomes["moved"] += 1
            assert not centres(find_annotations(picture)) & {(40, 30), (52, 70)}
    assert 20 <= outcomes["kept"] <= 40
    assert min(outcomes["removed"], outcomes["moved"]) >= 7


def test_a_picture_without_calipers_is_given_crosses():
    tissue = speckle(size=(128, 160))
    found = {key: value.to(torch.uint8) for key, value in FindCalipersd()(items(tissue)).items()}
    assert (found[CLEAN] == found["image"]).all()
    change = RandCalipersd(prob=1.0)
    change.set_random_state(seed=0)
    results = [change(dict(found))["image"].numpy().transpose(1, 2, 0) for _ in range(12)]
    drawn = [result for result in results if (result != tissue[..., None]).any()]
    assert 2 <= len(drawn) <= 10
    assert {len(find_annotations(result).markers) for result in drawn} <= {3, 4}


def test_the_same_seed_gives_the_same_pictures():
    found = {
        key: value.to(torch.uint8) for key, value in FindCalipersd()(items(draw_calipers(speckle(), ENDS))).items()
    }
    first, second = (RandCalipersd(prob=0.7).set_random_state(seed=5) for _ in range(2))
    for _ in range(5):
        assert torch.equal(first(dict(found))["image"], second(dict(found))["image"])


@pytest.mark.parametrize("augment", [False, True], ids=["plain", "augmented"])
def test_preprocessing_takes_calipers_out_on_request(entries, augment):
    entry = {key: entries[0][key] for key in ("image", "label")}
    size = (64, 96)
    usual = preprocessing(("image", "label"), spatial_size=size)(dict(entry))
    chain = preprocessing(("image", "label"), spatial_size=size, augment=augment, calipers=1.0)
    chain.set_random_state(seed=0)
    results = [chain(dict(entry)) for _ in range(3)]
    for result in results:
        assert CLEAN not in result
        assert set(usual) <= set(result)
        assert [(result[key].shape, result[key].dtype) for key in ("image", "label")] == [
            ((3, *size), torch.float32),
            ((1, *size), torch.uint8),
        ]
    if not augment:
        assert all(not torch.equal(result["image"], usual["image"]) for result in results)
        assert all(torch.equal(result["label"], usual["label"]) for result in results)


def test_the_cache_keeps_the_search_and_repeats_the_draw(entries):
    from monai.data import CacheDataset

    chain = preprocessing(("image", "label"), spatial_size=(64, 96), calipers=0.5)
    data = [{key: entries[0][key] for key in ("image", "label")}]
    dataset = CacheDataset(data, chain, cache_rate=1.0, progress=False)
    assert CLEAN in dataset._cache[0]
    assert dataset._cache[0]["image"].dtype == dataset._cache[0][CLEAN].dtype == torch.uint8


def test_without_the_option_preprocessing_is_the_paper_s():
    names = [type(step).__name__ for step in preprocessing(augment=True).transforms]
    assert not [name for name in names if "Caliper" in name]


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_refuses_a_caliper_share_that_is_no_probability(value):
    with pytest.raises(InputError, match="calipers: must be a probability from 0 to 1"):
        preprocessing(calipers=value)


def test_the_bundle_reaches_the_option():
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config("bundles/lighter_unet/configs/train.json")
    parser["train#preprocessing#calipers"] = 0.5
    steps = parser.get_parsed_content("train#preprocessing").transforms
    assert [type(step).__name__ for step in steps].count("RandCalipersd") == 1
