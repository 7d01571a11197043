"""Engine handlers that MONAI and ignite lack; reached from bundle configs alone.

Those of a training work once an epoch and read the validation loss, so they stand after the ``ValidationHandler`` in
the trainer's list, and ``AverageStatistics`` before it.
"""

from monai_lesion.handlers.checkpoints import Checkpoints
from monai_lesion.handlers.progress import MetricsLog, Progress
from monai_lesion.handlers.results import EvaluationTables, SaveMasks
from monai_lesion.handlers.tracking import TensorBoard, TrackedRun, untracked
from monai_lesion.handlers.training import AverageStatistics, EarlyStop, SeedEveryEpoch, StopOnBadLoss, val_loss

__all__ = [
    "AverageStatistics",
    "Checkpoints",
    "EarlyStop",
    "EvaluationTables",
    "MetricsLog",
    "Progress",
    "SaveMasks",
    "SeedEveryEpoch",
    "StopOnBadLoss",
    "TensorBoard",
    "TrackedRun",
    "untracked",
    "val_loss",
]
