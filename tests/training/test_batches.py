from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from monai.data import MetaTensor
from monai.engines import default_prepare_batch

from monai_lesion.errors import InputError
from monai_lesion.training.batches import FollowEpochs, TrainingBatch


def loaded(size=32):
    torch.manual_seed(0)
    image = MetaTensor(torch.rand(2, 3, size, size), meta={"filename_or_obj": ["a.png", "b.png"]})
    label = torch.zeros(2, 1, size, size, dtype=torch.uint8)
    label[:, :, 8:24, 4:20] = 1
    return {"image": image, "label": MetaTensor(label)}


def test_without_options_it_is_monais():
    batch = loaded()
    image, label = TrainingBatch()(batch, "cpu")
    expected = default_prepare_batch(batch, "cpu")
    assert torch.equal(image, expected[0])
    assert torch.equal(label, expected[1])
    assert image.meta["filename_or_obj"] == ["a.png", "b.png"]


def test_pictures_shrink_by_area_and_labels_with_them():
    batch = loaded()
    image, label = TrainingBatch(sizes=[[0, [16, 16]]])(batch, "cpu")
    means = batch["image"].as_tensor().reshape(2, 3, 16, 2, 16, 2).mean(dim=(3, 5))
    assert torch.allclose(image.as_tensor(), means, atol=1e-6)
    assert label[:, :, 4:12, 2:10].all()
    assert int(label.sum()) == 2 * 8 * 8
    assert label.dtype == torch.uint8
    assert image.meta["filename_or_obj"] == ["a.png", "b.png"]


@pytest.mark.parametrize(("epoch", "size"), [(1, 16), (3, 16), (4, 24), (9, 24)])
def test_size_follows_the_epoch_also_after_a_resume(epoch, size):
    batch = TrainingBatch(sizes=[[0, [16, 16]], [3, [24, 24]]])
    FollowEpochs(batch)(SimpleNamespace(state=SimpleNamespace(epoch=epoch)))
    assert batch(loaded(), "cpu")[0].shape[2:] == (size, size)


def test_augmentations_follow_each_other():
    def darker(images, labels):
        return images / 2, labels

    def empty(images, labels):
        return images, labels * 0

    image, label = TrainingBatch(augmentation=[darker, empty])(loaded(), "cpu")
    assert torch.allclose(image.as_tensor(), loaded()["image"].as_tensor() / 2)
    assert not label.any()


def test_teachers_see_the_varied_picture_at_full_size_and_the_student_a_smaller_one():
    seen = []

    def teachers(images):
        seen.append(images)
        return images[:, :1]

    def darker(images, labels):
        return images / 2, labels

    batch = TrainingBatch(sizes=[[0, [16, 16]]], augmentation=[darker], teachers=teachers)
    image, target = batch(loaded(), "cpu")
    assert torch.equal(seen[0], loaded()["image"].as_tensor() / 2)
    assert target.shape == (2, 2, 16, 16)
    assert torch.equal(target[:, 1:], image.as_tensor()[:, :1])
    assert set(target[:, 0].unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([16, 32], r"must be a list of \[epoch, \[rows, columns\]\]"),
        ([[0, 16]], r"must be a list of \[epoch, \[rows, columns\]\]"),
        ([[1, [16, 16]]], "must begin with epoch 0, and the epochs must rise, got"),
        ([[0, [16, 16]], [5, [32, 32]], [3, [24, 24]]], "must begin with epoch 0, and the epochs must rise"),
        ([[0, [8, 16]]], "must be at least 16 pixels each way"),
    ],
    ids=["numbers", "one number", "late start", "backwards", "small"],
)
def test_refuses_sizes_of_another_form(sizes, message):
    with pytest.raises(InputError, match=f"--sizes: {message}"):
        TrainingBatch(sizes=sizes)


def test_refuses_to_enlarge():
    with pytest.raises(
        InputError, match=r"--sizes: must not exceed the size of the loaded pictures, got \(48, 48\) of"
    ):
        TrainingBatch(sizes=[[0, [48, 48]]])(loaded(), "cpu")
