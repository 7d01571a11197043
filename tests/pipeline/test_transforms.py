from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, OneOf, RandAffined, RandFlipd
from PIL import Image

from monai_lesion.errors import InputError, root_cause
from monai_lesion.pipeline.transforms import (
    DropChannelAxisd,
    RoundToByted,
    Uprightd,
    augmentation,
    postprocessing,
    preprocessing,
)

ROWS, COLUMNS = 40, 60


def asymmetric():
    """A picture and a mask that no flip or transposition leaves alike."""
    picture = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    picture[4:12, 6:30] = (200, 100, 50)
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    mask[4:12, 6:30] = 255
    return picture, mask


@pytest.fixture
def pair(tmp_path):
    picture, mask = asymmetric()
    Image.fromarray(picture).save(tmp_path / "image.png")
    Image.fromarray(mask).save(tmp_path / "label.png")
    return {"image": str(tmp_path / "image.png"), "label": str(tmp_path / "label.png")}


def test_preprocessing_without_a_change_of_size_gives_the_upright_picture_over_255(pair):
    items = preprocessing(("image", "label"), spatial_size=(ROWS, COLUMNS))(pair)
    picture, mask = asymmetric()
    assert items["image"].dtype == torch.float32
    np.testing.assert_allclose(items["image"].numpy(), picture.transpose(2, 0, 1) / 255, atol=1e-6)
    np.testing.assert_array_equal(items["label"].numpy()[0], mask > 0)


def test_preprocessing_resizes_bilinearly_and_thresholds_the_mask_at_a_half(pair):
    items = preprocessing(("image", "label"), spatial_size=(16, 24))(pair)
    picture, mask = asymmetric()
    grey = torch.tensor(picture[..., 0], dtype=torch.float32)[None, None]
    expected = torch.nn.functional.interpolate(grey, (16, 24), mode="bilinear", align_corners=False)[0, 0]
    np.testing.assert_allclose(items["image"][0].numpy() * 255, expected.round().numpy(), atol=1e-3)
    soft = torch.nn.functional.interpolate(torch.tensor(mask / 255.0)[None, None], (16, 24), mode="bilinear")[0, 0]
    np.testing.assert_array_equal(items["label"][0].numpy(), (soft >= 0.5).numpy())


def test_label_of_several_files_is_their_union(pair, tmp_path):
    other = np.zeros((ROWS, COLUMNS), np.uint8)
    other[30:36, 40:50] = 255
    Image.fromarray(other).save(tmp_path / "other.png")
    files = {**pair, "label": [pair["label"], str(tmp_path / "other.png")]}
    items = preprocessing(("image", "label"), spatial_size=(ROWS, COLUMNS))(files)
    np.testing.assert_array_equal(items["label"].numpy()[0], (asymmetric()[1] > 0) | (other > 0))


def test_label_of_no_file_is_empty_and_goes_into_a_batch_with_others(pair):
    steps = preprocessing(("image", "label"), spatial_size=(16, 24), augment=True)
    entries = [{**pair, "label": []}, pair, {**pair, "label": []}]
    (batch,) = DataLoader(Dataset(entries, steps), batch_size=3)
    assert batch["label"].shape == (3, 1, 16, 24)
    assert batch["label"].dtype == torch.uint8
    assert [bool(label.any()) for label in batch["label"][[0, 2]]] == [False, False]
    whole = preprocessing(("image", "label"), spatial_size=(16, 24), resize_label=False)(entries[0])
    assert whole["label"].shape == (1, ROWS, COLUMNS)


def test_a_forgotten_label_is_not_an_empty_one(pair):
    with pytest.raises(RuntimeError, match="LoadLabeld") as caught:
        preprocessing(("image", "label"), spatial_size=(16, 24))({"image": pair["image"]})
    assert isinstance(root_cause(caught.value), KeyError)


def test_label_of_another_size_is_not_resized_to_fit(pair):
    Image.fromarray(np.ones((COLUMNS, ROWS), np.uint8)).save(pair["label"])
    with pytest.raises(RuntimeError) as caught:
        preprocessing(("image", "label"), spatial_size=(16, 24))(pair)
    message = r"label.png: a label must have its image's 40 x 60 rows and columns, got 60 x 40"
    with pytest.raises(InputError, match=message):
        raise root_cause(caught.value)


def test_evaluation_keeps_the_label_at_its_own_size(pair):
    items = preprocessing(("image", "label"), spatial_size=(16, 16), resize_label=False)(pair)
    assert items["image"].shape == (3, 16, 16)
    assert items["label"].shape == (1, ROWS, COLUMNS)


def test_cache_keeps_8_bit_pictures_that_are_not_augmented_yet(pair):
    dataset = CacheDataset(
        [pair], preprocessing(("image", "label"), spatial_size=(32, 32), augment=True), progress=False
    )
    cached = dataset._cache[0]
    assert cached["image"].dtype == torch.uint8
    assert cached["label"].dtype == torch.uint8
    plain = preprocessing(("image", "label"), spatial_size=(32, 32))(pair)
    np.testing.assert_allclose(cached["image"].numpy() / 255, plain["image"].numpy(), atol=1e-6)
    kept = CacheDataset([pair], preprocessing(("image", "label"), spatial_size=(32, 32)), progress=False)._cache[0]
    assert kept["image"].dtype == torch.uint8


def test_rounding_to_bytes_clamps():
    rounded = RoundToByted("image")({"image": torch.tensor([-3.0, 0.4, 0.6, 254.6, 300.0])})["image"]
    assert rounded.tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize("size", [(8, 256), (256,), (256, 256, 256)], ids=str)
def test_rejects_a_spatial_size_that_is_no_pair_of_at_least_16(size):
    with pytest.raises(InputError, match=r"spatial_size.*at least 16"):
        preprocessing(spatial_size=size)


def affines():
    """The recipe's affine maps, one for each border mode."""
    chosen = augmentation().transforms[0].transforms[2]
    assert isinstance(chosen, OneOf)
    return [step for step in chosen.transforms if isinstance(step, RandAffined)]


def test_affine_parameters_cover_the_papers_ranges_on_both_axes():
    drawn = {name: [] for name in ("rotate", "shear", "translate", "scale")}
    step = affines()[0]
    step.set_random_state(seed=0)
    for _ in range(4000):
        step.rand_affine.rand_affine_grid.randomize()
        grid = step.rand_affine.rand_affine_grid
        drawn["rotate"].append(np.degrees(grid.rotate_params))
        drawn["shear"].append(np.degrees(np.arctan(grid.shear_params)))
        drawn["translate"].append(np.asarray(grid.translate_params) / 256)
        drawn["scale"].append(1 / np.asarray(grid.scale_params))  # the grid's factor is the inverse of the picture's
    limits = {"rotate": (-45, 45), "shear": (-16, 16), "translate": (-0.2, 0.2), "scale": (0.8, 1.2)}
    axes = {"rotate": 1, "shear": 2, "translate": 2, "scale": 2}
    for name, (low, high) in limits.items():
        values = np.asarray(drawn[name])
        assert values.shape == (4000, axes[name]), name
        margin = 0.01 * (high - low)
        for axis in values.T:
            assert low - 1e-9 <= axis.min() < low + margin, name
            assert high - margin < axis.max() <= high + 1e-9, name


def test_flips_and_affine_come_with_the_authors_probabilities():
    order = augmentation().transforms[0]
    flips = [step for step in order.transforms if isinstance(step, RandFlipd)]
    assert sorted((step.flipper.spatial_axis, step.prob) for step in flips) == [(0, 0.5), (1, 0.5)]
    chosen = order.transforms[2]
    assert chosen.weights[0] == pytest.approx(0.5)
    assert chosen.weights[1:] == pytest.approx([0.1] * 5)
    assert isinstance(chosen.transforms[0], Compose)
    assert not chosen.transforms[0].transforms


def test_affine_draws_each_of_the_five_borders():
    borders = {step.padding_mode[0] for step in affines()}
    assert borders == {"zeros", "border", "reflection", "mirror", "grid-wrap"}


def test_augmentation_turns_picture_and_mask_alike():
    picture = np.zeros((64, 64), np.uint8)
    picture[20:36, 24:44] = 200
    step = augmentation(spatial_size=(64, 64))
    step.set_random_state(seed=3)
    for _ in range(30):
        items = {
            "image": MetaTensor(np.repeat(picture[None], 3, 0)),
            "label": MetaTensor((picture[None] > 0).astype("u1")),
        }
        items = step(items)
        inside = items["label"][0].numpy() > 0.5
        bright = items["image"][0].numpy() > 100
        overlap = 2 * (inside & bright).sum() / (inside.sum() + bright.sum())
        assert overlap > 0.93
        assert set(np.unique(items["label"].numpy())) <= {0, 1}


def test_augmentation_without_probability_changes_nothing():
    step = augmentation(flip_probability=0, affine_probability=0, spatial_size=(32, 32))
    image = torch.arange(3 * 32 * 32).reshape(3, 32, 32) % 251
    items = step({"image": MetaTensor(image.float()), "label": MetaTensor(image[:1].float())})
    assert torch.equal(items["image"].as_tensor(), image.float())


def test_pictures_are_magnified_by_the_papers_range_and_not_by_its_inverse():
    options = {"translation": 0.0, "rotation": 0.0, "shear": 0.0, "flip_probability": 0.0, "affine_probability": 1.0}
    step = augmentation(("label",), spatial_size=(96, 96), **options)
    step.set_random_state(seed=1)
    rows, columns = np.indices((96, 96))
    disc = (np.hypot(rows - 47.5, columns - 47.5) <= 30).astype(np.float32)
    factors = []
    for _ in range(120):
        found = step({"label": MetaTensor(disc[None].copy())})["label"][0].numpy() > 0.5
        factors += [found[48].sum() / disc[48].sum(), found[:, 48].sum() / disc[:, 48].sum()]
    assert 0.77 < min(factors) < 0.84
    assert 1.16 < max(factors) < 1.23


def logits_of(mask):
    return torch.where(torch.as_tensor(mask)[None] > 0, 6.0, -6.0)


def run_back(pair, spatial_size, logits=None, **options):
    before = preprocessing(("image", "label"), spatial_size=spatial_size)
    items = before({**pair})
    pred = logits_of(items["label"][0]) if logits is None else logits
    items["pred"] = MetaTensor(pred.clone(), meta=items["image"].meta, applied_operations=[])
    return postprocessing(before, **options)(items)["pred"]


def test_mask_returns_to_the_files_own_size_the_way_monai_writes_it(pair):
    mask = run_back(pair, (ROWS, COLUMNS), drop_channel=True)
    assert mask.dtype == torch.uint8
    np.testing.assert_array_equal(mask.numpy().T, asymmetric()[1] > 0)


def test_mask_beside_an_upright_label_is_upright(pair):
    mask = run_back(pair, (ROWS, COLUMNS), upright=True)
    np.testing.assert_array_equal(mask.numpy()[0], asymmetric()[1] > 0)


def test_only_the_largest_component_stays_and_its_holes_are_filled(pair):
    mask = np.zeros((32, 32))
    mask[4:20, 4:20] = 1
    mask[9:12, 9:12] = 0
    mask[26:30, 26:30] = 1
    found = postprocessing()({"pred": MetaTensor(logits_of(mask))})["pred"].numpy()[0]
    expected = np.zeros((32, 32))
    expected[4:20, 4:20] = 1
    np.testing.assert_array_equal(found, expected)


def test_resizing_the_probability_first_is_the_default_and_differs_from_the_papers_text(pair):
    rows, columns = np.indices((16, 16))
    logits = torch.tensor(6.0 - np.hypot(rows - 8, columns - 8) * 1.5, dtype=torch.float32)[None]
    first = run_back(pair, (16, 16), logits=logits, upright=True).numpy()[0]
    soft = torch.sigmoid(logits)[None]
    expected = torch.nn.functional.interpolate(soft, (ROWS, COLUMNS), mode="bilinear", align_corners=False)[0, 0] >= 0.5
    np.testing.assert_array_equal(first, expected.numpy())
    text = run_back(pair, (16, 16), logits=logits, upright=True, order="threshold_first").numpy()[0]
    blocks = torch.nn.functional.interpolate((soft >= 0.5).float(), (ROWS, COLUMNS), mode="nearest")[0, 0]
    np.testing.assert_array_equal(text, blocks.numpy())
    assert (text != first).any()


@pytest.mark.parametrize("target", ["mask", "seen"])
def test_another_target_leaves_the_logits_for_the_loss(target):
    logits = MetaTensor(torch.tensor([[[-1.5, 2.5]]]))
    items = postprocessing(target=target)({"pred": logits})
    assert items["pred"].flatten().tolist() == [-1.5, 2.5]
    assert items[target].flatten().tolist() == [0, 1]


def test_rejects_an_unknown_order():
    with pytest.raises(InputError, match=r'order.*"resize_first" or "threshold_first", got last'):
        postprocessing(order="last")


def test_upright_turns_back_and_keeps_the_affine():
    picture = MetaTensor(
        torch.rand(3, 7, 5), affine=torch.diag(torch.tensor([-0.2, -0.3, 1.0, 1.0], dtype=torch.float64))
    )
    step = Uprightd("image")
    turned = step({"image": picture})
    assert turned["image"].shape == (3, 5, 7)
    assert turned["image"].affine[:2, :2].tolist() == [[0, -0.2], [-0.3, 0]]
    back = step.inverse(turned)["image"]
    assert torch.equal(back, picture)
    assert torch.equal(back.affine, picture.affine)


@pytest.mark.parametrize(("shape", "expected"), [((6, 4), (6, 4)), ((6, 4, 1), (6, 4, 1))], ids=["flat", "volume"])
def test_channel_axis_is_dropped_and_volumes_get_a_last_axis(shape, expected):
    mask = MetaTensor(torch.ones(1, 6, 4), meta={"spatial_shape": np.array(shape)})
    found = DropChannelAxisd("pred")({"pred": mask})["pred"]
    assert found.shape == expected
    assert found.dtype == torch.uint8
