from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks import Ensemble, LighterUNet, LightUNet, TrustHeads
from monai_lesion.networks.checkpoints import describe
from monai_lesion.networks.definitions import build_network, definition_of


class Constant(nn.Module):
    """A network that always says the same."""

    def __init__(self, probability, score=None):
        super().__init__()
        self.logit, self.score = torch.logit(torch.tensor(probability)), score

    def forward(self, x):
        logits = self.logit.expand(len(x), 1, *x.shape[2:])
        return logits if self.score is None else (logits, torch.full((len(x), 2), self.score))


def test_probabilities_are_averaged_not_logits():
    found = Ensemble([Constant(0.1), Constant(0.9), Constant(0.8)])(torch.zeros(2, 3, 4, 5))
    assert found.shape == (2, 1, 4, 5)
    torch.testing.assert_close(torch.sigmoid(found), torch.full((2, 1, 4, 5), 0.6))


def test_certainty_stays_finite():
    sure = Constant(0.5)
    sure.logit = torch.tensor(200.0)
    assert torch.isfinite(Ensemble([sure, sure])(torch.zeros(1, 3, 2, 2))).all()


def test_scores_are_averaged():
    _, scores = Ensemble([Constant(0.5, 1.0), Constant(0.5, 4.0)])(torch.zeros(1, 3, 2, 2))
    assert scores.tolist() == [[2.5, 2.5]]


def test_no_network_is_refused():
    with pytest.raises(InputError, match="networks: must be at least one network"):
        Ensemble([])


@pytest.mark.parametrize(
    "members",
    [
        lambda: [LightUNet(width=0.0625) for _ in range(3)],
        lambda: [LightUNet(width=0.0625), LighterUNet(width=0.0625, group_size=1)],
        lambda: [TrustHeads(LightUNet(width=0.0625)) for _ in range(2)],
    ],
    ids=["alike", "different", "with scores"],
)
def test_an_ensemble_is_built_from_its_definition(members):
    made = Ensemble(members()).eval()
    again = build_network(definition_of(made)).eval()
    again.load_state_dict(made.state_dict())
    picture = torch.rand(1, 3, 16, 16)
    one, other = made(picture), again(picture)
    for each, twin in zip(*((found if isinstance(found, tuple) else (found,)) for found in (one, other)), strict=True):
        assert torch.equal(each, twin)


def test_it_is_described_by_its_members():
    state = Ensemble([LightUNet(width=0.0625) for _ in range(5)]).state_dict()
    assert describe(state) == "Ensemble(networks=[LightUNet(width=0.0625)] * 5)"
