from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from monai.data import MetaTensor
from monai.losses import DiceCELoss, DiceLoss

from monai_lesion.errors import InputError
from monai_lesion.training.loss_checks import CheckLastBatch, CheckLoss, learns_from_empty
from monai_lesion.training.losses import MaskAndTrustLoss

PAPER = {"sigmoid": True, "smooth_nr": 0.0, "smooth_dr": 0.0}


@pytest.mark.parametrize(
    ("loss", "learns"),
    [
        (DiceLoss(**PAPER), False),
        (DiceLoss(**{**PAPER, "smooth_dr": 1e-5}), False),
        (DiceLoss(**{**PAPER, "smooth_nr": 1.0, "smooth_dr": 1.0}), True),
        (DiceCELoss(**PAPER), True),
        (MaskAndTrustLoss(), True),
    ],
    ids=["the paper's", "smooth below", "smooth", "with cross-entropy", "converging"],
)
def test_which_losses_learn_from_an_empty_label(loss, learns):
    assert learns_from_empty(loss) is learns


def engine(*labels, epoch=1):
    image = MetaTensor(torch.zeros(3, 4, 4), meta={"filename_or_obj": "normal (1).png"})
    output = [{"image": image, "label": torch.full((1, 4, 4), value)} for value in labels]
    return SimpleNamespace(state=SimpleNamespace(output=output, epoch=epoch))


def test_warns_once_and_names_the_picture(caplog):
    look = CheckLoss(DiceLoss(**PAPER)).look_for_empty
    with caplog.at_level(logging.WARNING):
        look(engine(1, 1))
        assert not caplog.records
        look(engine(1, 0))
        look(engine(0, 0))
    (record,) = caplog.records
    assert record.getMessage().startswith("normal (1).png shows no lesion, and DiceLoss learns nothing from such pict")
    assert "overlays/converge.json" in record.getMessage()


def test_is_silent_where_the_loss_learns(caplog):
    with caplog.at_level(logging.WARNING):
        CheckLoss(MaskAndTrustLoss()).look_for_empty(engine(0))
    assert not caplog.records


def test_looks_in_the_first_epoch_alone(caplog):
    with caplog.at_level(logging.WARNING):
        CheckLoss(DiceLoss(**PAPER)).look_for_empty(engine(0, epoch=2))
    assert not caplog.records


def test_refuses_teachers_that_the_loss_does_not_hear():
    message = r"--teachers: need a loss that learns from them, got DiceLoss. Train with overlays/converge.json"
    with pytest.raises(InputError, match=message):
        CheckLoss(DiceLoss(**PAPER), teachers=True).check_teachers()
    CheckLoss(MaskAndTrustLoss(), teachers=True).check_teachers()


def test_refuses_scores_that_the_loss_does_not_train():
    scored = SimpleNamespace(state=SimpleNamespace(output={"pred": (torch.zeros(1, 1, 4, 4), torch.zeros(1, 2))}))
    message = "the network: returns scores beside the mask, which need a loss that trains them, got DiceLoss"
    with pytest.raises(InputError, match=message):
        CheckLoss(DiceLoss(**PAPER)).check_scores(scored)
    CheckLoss(MaskAndTrustLoss()).check_scores(scored)


@pytest.mark.parametrize(
    ("images", "batch", "options", "refused"),
    [(9, 8, {}, True), (8, 8, {}, False), (9, 8, {"drop_last": True}, False), (3, 1, {}, True)],
    ids=["one left", "none left", "dropped", "one by one"],
)
def test_a_last_batch_that_cannot_be_normalised_is_refused_before_the_first(images, batch, options, refused):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3, stride=2, padding=1), torch.nn.BatchNorm2d(2))
    loader = torch.utils.data.DataLoader(list(range(images)), batch_size=batch, **options)
    check = CheckLastBatch(network, spatial_size=(2, 2))
    begun = SimpleNamespace(state=SimpleNamespace(dataloader=loader))
    if refused:
        with pytest.raises(InputError, match=f"batch_size: leaves a batch of one .* 2 x 2 .*got {images} pictures in"):
            check(begun)
    else:
        check(begun)
    CheckLastBatch(network, spatial_size=(4, 4))(begun)
    assert network[1].num_batches_tracked == 0
