"""Trained networks whose masks a smaller network learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from monai_lesion.errors import InputError
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.training.inferers import MixedPrecisionInferer

KEYS = ("network", "weights", "spatial_size")
EXAMPLE = (
    "For instance --teachers \"[{'network':{'_target_':'monai_lesion.networks.UNet'},"
    "'weights':'models/model.pt','spatial_size':[256,256]}]\""
)


class Teachers(nn.Module):
    """The mean probability of trained networks, on the very pictures that the student sees.

    Args:
        teachers: for each its ``network``, the file of its ``weights`` and the ``spatial_size`` of its input.
        amp: whether they run in bfloat16 on a CPU, a condition that may be decided later.

    Shape:
        - input: ``(B, 3, rows, columns)`` of the teachers' input size
        - output: probabilities ``(B, 1, rows, columns)``

    Raises:
        InputError: when a teacher lacks one of the three, takes other channels, or pictures have another size.
        CheckpointError: when weights cannot be loaded, or belong to another network.
    """

    def __init__(self, teachers: Sequence[Mapping[str, Any]], *, amp: Any = False) -> None:
        super().__init__()
        if not teachers:
            raise InputError("--teachers", "must name at least one", got="an empty list", fix=EXAMPLE)
        self.inferer = MixedPrecisionInferer(amp)
        self.networks = nn.ModuleList()
        sizes = []
        for number, teacher in enumerate(teachers):
            where = f"--teachers, number {number + 1}"
            if not isinstance(teacher, Mapping) or set(teacher) != set(KEYS):
                got = ", ".join(map(str, teacher)) if isinstance(teacher, Mapping) else repr(teacher)
                raise InputError(where, f"must have {', '.join(KEYS)}", got=got, fix=EXAMPLE)
            network = teacher["network"]
            channels = getattr(network, "in_channels", 3)
            if channels != 3:
                raise InputError(where, "must take pictures of three channels", got=channels)
            load_weights(network, teacher["weights"])
            self.networks.append(network.eval().requires_grad_(False).to(memory_format=torch.channels_last))
            sizes.append(tuple(teacher["spatial_size"]))
        if len(set(sizes)) > 1:
            raise InputError("--teachers", "must have one input size", got=" and ".join(map(str, sorted(set(sizes)))))
        self.spatial_size: tuple[int, int] = sizes[0]

    def train(self, mode: bool = True) -> Teachers:
        """Stay as they are: teachers do not learn."""
        return super().train(False)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the mean probability."""
        if tuple(images.shape[2:]) != self.spatial_size:
            rows, columns = self.spatial_size
            fix = (
                f"Load pictures of the teachers' size with --train#preprocessing#spatial_size [{rows},{columns}]; "
                "--sizes says what the student sees of them"
            )
            got = f"pictures of {tuple(images.shape[2:])}"
            raise InputError("--teachers", f"must be shown pictures of {self.spatial_size}", got=got, fix=fix)
        masks = []
        for network in self.networks:
            network.to(images.device)
            outputs = self.inferer(images, network)
            masks.append((outputs if isinstance(outputs, torch.Tensor) else outputs[0]).sigmoid())
        return torch.stack(masks).mean(dim=0)


def teachers_of(teachers: Sequence[Mapping[str, Any]] | None, *, amp: Any = False) -> Teachers | None:
    """The teachers, or None where none are named; for the bundle's config."""
    return Teachers(teachers, amp=amp) if teachers else None
