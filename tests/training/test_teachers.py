from __future__ import annotations

import pytest
import torch

from monai_lesion.errors import CheckpointError, InputError
from monai_lesion.networks import LighterUNet
from monai_lesion.training.teachers import Teachers, teachers_of
from tests.training.scored_networks import ScoredNetwork


def teacher(folder, seed, kind=LighterUNet, **options):
    torch.manual_seed(seed)
    network = kind(**options)
    path = folder / f"{seed}.pt"
    torch.save({"model": network.state_dict()}, path)
    return network, {"network": kind(**options), "weights": path, "spatial_size": [32, 32]}


SMALL = {"group_size": 1, "width": 0.125}


def test_mask_is_the_mean_of_the_probabilities(tmp_path):
    first, one = teacher(tmp_path, 1, **SMALL)
    second, two = teacher(tmp_path, 2, ScoredNetwork)
    images = torch.rand(2, 3, 32, 32)
    expected = (first.eval()(images).sigmoid() + second.eval()(images)[0].sigmoid()) / 2
    found = Teachers([one, two])(images)
    assert torch.allclose(found, expected, atol=1e-6)
    assert not found.requires_grad


def test_teachers_do_not_learn(tmp_path):
    _, one = teacher(tmp_path, 1, **SMALL)
    teachers = Teachers([one]).train()
    before = {name: value.clone() for name, value in teachers.state_dict().items()}
    teachers(torch.rand(2, 3, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in teachers.state_dict().items())
    assert not any(parameter.requires_grad for parameter in teachers.parameters())


@pytest.mark.parametrize("named", [None, []])
def test_none_are_none(named):
    assert teachers_of(named) is None


def test_refuses_pictures_of_another_size(tmp_path):
    _, one = teacher(tmp_path, 1, **SMALL)
    message = r"--teachers: must be shown pictures of \(32, 32\), got pictures of \(16, 16\). Load pictures of the teac"
    with pytest.raises(InputError, match=message):
        Teachers([one])(torch.rand(1, 3, 16, 16))


def test_refuses_teachers_of_two_sizes(tmp_path):
    _, one = teacher(tmp_path, 1, **SMALL)
    with pytest.raises(InputError, match=r"--teachers: must have one input size, got \(32, 32\) and \(64, 64\)"):
        Teachers([one, {**one, "spatial_size": [64, 64]}])


def test_refuses_a_teacher_of_grey_pictures(tmp_path):
    _, one = teacher(tmp_path, 1, in_channels=1, **SMALL)
    with pytest.raises(InputError, match="--teachers, number 1: must take pictures of three channels, got 1"):
        Teachers([one])


@pytest.mark.parametrize("broken", [{"weights": "a.pt"}, "model.pt"], ids=["half", "a path"])
def test_refuses_a_teacher_that_is_not_described(broken):
    with pytest.raises(InputError, match="--teachers, number 1: must have network, weights, spatial_size, got"):
        Teachers([broken])


def test_refuses_weights_of_another_network(tmp_path):
    _, one = teacher(tmp_path, 1, **SMALL)
    with pytest.raises(CheckpointError, match=r"1.pt: must hold weights of LighterUNet\(.*group_size=2"):
        Teachers([{**one, "network": LighterUNet(group_size=2, width=0.125)}])
