from __future__ import annotations

import math

import pytest
import torch

from monai_lesion.errors import InputError
from monai_lesion.training.losses import MaskAndTrustLoss, trust_loss


def random_pair(seed=0, count=3):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(count, 1, 16, 20, generator=generator)
    return logits, (torch.rand(count, 1, 16, 20, generator=generator) > 0.7).float()


def by_hand(logits, label, smoothing=1.0):
    """Cross-entropy over all pixels and Dice loss per picture, in double precision."""
    p, y = logits.double().sigmoid(), label.double()
    entropy = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    dice = [1 - (2 * (a * b).sum() + smoothing) / (a.sum() + b.sum() + smoothing) for a, b in zip(p, y, strict=True)]
    return float(entropy + torch.stack(dice).mean())


def test_mask_loss_is_cross_entropy_and_the_dice_of_each_picture():
    logits, label = random_pair()
    assert float(MaskAndTrustLoss()(logits, label)) == pytest.approx(by_hand(logits, label), rel=1e-5)


@pytest.mark.parametrize(("cross_entropy", "dice"), [(1.0, 0.0), (0.0, 1.0)], ids=["entropy alone", "Dice alone"])
def test_each_part_pushes_an_empty_picture_down(cross_entropy, dice):
    logits = torch.zeros(1, 1, 16, 16, requires_grad=True)
    MaskAndTrustLoss(cross_entropy=cross_entropy, dice=dice)(logits, torch.zeros(1, 1, 16, 16)).backward()
    assert (logits.grad > 0).all()


def test_pictures_without_a_lesion_count_for_less_on_request():
    logits, label = random_pair()
    label[1] = 0
    apart = [by_hand(logits[i : i + 1], label[i : i + 1]) for i in range(3)]
    expected = (apart[0] + 0.1 * apart[1] + apart[2]) / 3
    assert float(MaskAndTrustLoss(empty=0.1)(logits, label)) == pytest.approx(expected, rel=1e-5)


def test_labels_may_be_bytes():
    logits, label = random_pair()
    loss = MaskAndTrustLoss()
    assert loss(logits, label.to(torch.uint8)) == loss(logits, label)


def test_scores_add_to_the_loss_of_the_mask():
    logits, label = random_pair()
    scores = torch.randn(3, 2)
    loss = MaskAndTrustLoss(trust=0.3)
    expected = loss(logits, label) + 0.3 * trust_loss(scores, logits, label)
    assert float(loss((logits, scores), label)) == pytest.approx(float(expected))


def cross_entropy(score, wanted):
    p = 1 / (1 + math.exp(-score))
    return -(wanted * math.log(p) + (1 - wanted) * math.log(1 - p))


def test_presence_and_quality_learn_what_they_are_named_after():
    # Rows: half of a lesion found; a mask on nothing; nothing on nothing.
    logits, label = torch.full((3, 1, 4, 4), -5.0), torch.zeros(3, 1, 4, 4)
    label[0, 0, :2] = 1  # 8 pixels
    logits[0, 0, 0] = 5  # 4 of them: Dice 8 / 12
    logits[1, 0, 0, 0] = 5
    scores = torch.tensor([[0.5, 1.0], [0.2, -0.3], [-1.0, 2.0]])
    presence = (cross_entropy(0.5, 1) + cross_entropy(0.2, 0) + cross_entropy(-1.0, 0)) / 3
    quality = (cross_entropy(1.0, 2 / 3) + cross_entropy(-0.3, 0)) / 2
    assert float(trust_loss(scores, logits, label)) == pytest.approx(presence + quality, rel=1e-5)


def test_quality_is_quiet_where_no_picture_has_a_mask_to_judge():
    scores = torch.zeros(2, 2, requires_grad=True)
    trust_loss(scores, torch.full((2, 1, 4, 4), -5.0), torch.zeros(2, 1, 4, 4)).backward()
    assert (scores.grad[:, 1] == 0).all()
    assert (scores.grad[:, 0] > 0).all()


def test_scores_send_no_gradient_into_the_mask():
    logits, label = random_pair()
    logits.requires_grad_()
    scores = torch.zeros(3, 2, requires_grad=True)
    trust_loss(scores, logits, label).backward()
    assert logits.grad is None


def test_a_taught_mask_is_best_where_it_is_the_teachers():
    teachers = torch.rand(2, 1, 16, 16) * 0.8 + 0.1
    loss = MaskAndTrustLoss(distillation=1.0)
    logits = torch.logit(teachers).requires_grad_()
    target = torch.cat([torch.zeros_like(teachers), teachers], dim=1)
    loss(logits, target).backward()
    assert logits.grad.abs().max() < 1e-5


def test_distillation_mixes_label_and_teachers():
    logits, label = random_pair()
    target = torch.cat([label, torch.rand(label.shape)], dim=1)
    none, half, whole = (float(MaskAndTrustLoss(distillation=share)(logits, target)) for share in (0.0, 0.5, 1.0))
    assert none == pytest.approx(by_hand(logits, label), rel=1e-5)
    assert half == pytest.approx((none + whole) / 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoothing": 0.0}, "smoothing: must be positive, got 0.0. Without it a picture without a lesion has no grad"),
        ({"distillation": 1.5}, "distillation: must be a share from 0 to 1, got 1.5"),
        ({"trust": -1.0}, "the weights of the loss: must not be negative, got .* trust -1.0"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_refuses_arguments_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        MaskAndTrustLoss(**options)
