from __future__ import annotations

import pytest
import torch

from monai_lesion.errors import InputError
from monai_lesion.training.negatives import RemoveLesions, spread, widened

SIZE = 64


def batch(count=8, seed=0):
    """Grey speckle, a dark lesion in each picture; and the labels."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.5 + 0.05 * torch.randn(count, 1, SIZE, SIZE, generator=generator)
    labels = torch.zeros(count, 1, SIZE, SIZE, dtype=torch.uint8)
    for number in range(count):
        top, left = (int(value) for value in torch.randint(6, SIZE - 20, (2,), generator=generator))
        labels[number, 0, top : top + 10, left : left + 14] = 1
    images[labels > 0] = 0.1
    return images.expand(-1, 3, -1, -1).clone(), labels


def test_pictures_without_their_lesion_show_none():
    torch.manual_seed(0)
    images, labels = batch(16)
    varied, empty = RemoveLesions(1.0)(images, labels)
    changed = empty.sum(dim=(1, 2, 3)) == 0
    assert changed.sum() >= 12
    assert float(varied[changed].min()) > 0.2  # the lesions have 0.1
    assert torch.equal(varied[~changed], images[~changed])
    assert torch.equal(empty[~changed], labels[~changed])


def test_tissue_covers_the_lesion_and_little_else():
    """Where a lesion is covered, what lies away from it stays to the last bit."""
    torch.manual_seed(1)
    images, labels = batch(16)
    varied, empty = RemoveLesions(1.0)(images, labels)
    covered = 0
    for image, result, label, left in zip(images, varied, labels, empty, strict=True):
        away = torch.nn.functional.max_pool2d(label[None].float(), 13, stride=1, padding=6)[0] == 0
        if not left.any() and torch.equal(image[away.expand(3, -1, -1)], result[away.expand(3, -1, -1)]):
            covered += 1
            inside = result[0][label[0] > 0]
            assert abs(float(inside.mean()) - 0.5) < 0.03
            assert 0.03 < float(inside.std()) < 0.08  # speckle, no blur
    assert covered >= 4


def test_decoys_keep_their_lesion():
    torch.manual_seed(2)
    images, labels = batch(16)
    varied, kept = RemoveLesions(0.0, decoys=1.0)(images, labels)
    assert (kept.sum(dim=(1, 2, 3)) > 0).all()
    assert sum(not torch.equal(one, other) for one, other in zip(images, varied, strict=True)) >= 12
    for image, label in zip(varied, kept, strict=True):
        inside = torch.nn.functional.max_pool2d(1 - label[None].float(), 5, stride=1, padding=2)[0, 0] == 0
        assert float(image[0][inside].max()) < 0.2


def test_given_batch_stays_as_it_is():
    images, labels = batch()
    before = images.clone(), labels.clone()
    RemoveLesions(0.5, decoys=1.0)(images, labels)
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])


def test_pictures_without_a_lesion_are_left_alone():
    images, labels = batch(4)
    labels.zero_()
    varied, kept = RemoveLesions(1.0)(images, labels)
    assert torch.equal(varied, images)
    assert torch.equal(kept, labels)


def test_a_lesion_that_fills_the_picture_stays():
    images, labels = batch(2)
    labels.fill_(1)
    varied, kept = RemoveLesions(1.0)(images, labels)
    assert torch.equal(varied, images)
    assert torch.equal(kept, labels)


def test_probabilities_are_those_of_pictures():
    torch.manual_seed(4)
    images, labels = batch(8)
    remove = RemoveLesions(0.25, decoys=0.0)
    gone = sum(int((remove(images, labels)[1].sum(dim=(1, 2, 3)) == 0).sum()) for _ in range(50))
    assert 400 * 0.15 < gone < 400 * 0.3


def test_rim_is_a_fortieth_of_the_picture():
    label = torch.zeros(1, 1, 160, 160)
    label[0, 0, 80, 80] = 1
    assert int(widened(label).sum()) == 9**2


def test_spread_goes_on_smoothly_where_nothing_is_known():
    ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)
    known = torch.ones(1, 1, 32, 32)
    known[..., 12:20, 12:20] = 0
    filled = spread(ramp * known - 5 * (1 - known), known)  # what is not known is nonsense
    assert float((filled - ramp).abs().max()) < 0.12


@pytest.mark.parametrize(("options", "name"), [({"prob": 1.5}, "negatives"), ({"decoys": -1.0}, "decoys")])
def test_refuses_what_is_no_probability(options, name):
    with pytest.raises(InputError, match=f"{name}: must be a probability from 0 to 1, got"):
        RemoveLesions(**options)
