"""Scores beside the logits, in an evaluator's output."""

from __future__ import annotations

from ignite.engine import Engine
from monai.engines import IterationEvents

SCORES = "scores"  # logits of presence and quality, (2,) a picture


class KeepScores:
    """Split what a network with trust heads returns: the logits stay ``pred``, its scores become ``scores``.

    Postprocessing and metrics take one tensor. This stands in the evaluator's handlers and works before MONAI takes
    the batch apart; with a network that returns logits alone nothing happens.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to the evaluator."""
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Split the output of one batch."""
        output = engine.state.output
        if isinstance(output["pred"], (tuple, list)):
            output["pred"], output[SCORES] = output["pred"][:2]
