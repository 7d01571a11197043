from __future__ import annotations

from types import SimpleNamespace

import torch

from monai_lesion.training.scores import KeepScores


def test_logits_stay_and_scores_get_a_key():
    logits, scores = torch.zeros(2, 1, 4, 4), torch.zeros(2, 2)
    engine = SimpleNamespace(state=SimpleNamespace(output={"pred": (logits, scores)}))
    KeepScores()(engine)
    assert engine.state.output["pred"] is logits
    assert engine.state.output["scores"] is scores


def test_logits_alone_stay_alone():
    logits = torch.zeros(2, 1, 4, 4)
    engine = SimpleNamespace(state=SimpleNamespace(output={"pred": logits}))
    KeepScores()(engine)
    assert list(engine.state.output) == ["pred"]
