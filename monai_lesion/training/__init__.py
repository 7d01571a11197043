"""How a network is trained beyond what MONAI and ignite bring: handlers, losses, averages, schedules, batches.

Handlers of a training act once per epoch and read the validation loss. Put them after the ``ValidationHandler`` in the
trainer's list, and ``AverageStatistics`` before it.
"""

from monai_lesion.training.checkpoints import Checkpoints
from monai_lesion.training.epochs import AverageStatistics, EarlyStop, StopOnBadLoss, val_loss
from monai_lesion.training.evaluation import EvaluationTables, SaveMasks
from monai_lesion.training.progress import MetricsLog, Progress
from monai_lesion.training.seeds import SeededDataset, SeedEveryEpoch
from monai_lesion.training.tracking import TensorBoard, TrackedRun, untracked

__all__ = [
    "AverageStatistics",
    "Checkpoints",
    "EarlyStop",
    "EvaluationTables",
    "MetricsLog",
    "Progress",
    "SaveMasks",
    "SeedEveryEpoch",
    "SeededDataset",
    "StopOnBadLoss",
    "TensorBoard",
    "TrackedRun",
    "untracked",
    "val_loss",
]
