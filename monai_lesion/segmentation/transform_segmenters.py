"""Segmenters for a bundle with its own MONAI transforms around the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscreted, Compose, Invertd
from torch import nn

from monai_lesion._version import __version__
from monai_lesion.dicom.identity import Algorithm, short_name
from monai_lesion.errors import InputError
from monai_lesion.images.readers import UltrasoundImage, UltrasoundReader
from monai_lesion.networks.checkpoints import describe
from monai_lesion.networks.identity import weights_id
from monai_lesion.pipeline.graphs import takes_rgb
from monai_lesion.pipeline.steps import Steps
from monai_lesion.pipeline.transforms import postprocessing, preprocessing
from monai_lesion.runtimes.executions import Execution
from monai_lesion.runtimes.factories import open_runtime
from monai_lesion.runtimes.torch_runtimes import PlainRuntime
from monai_lesion.segmentation.segmenters import Finding, Segmenter, check_finite


class TransformSegmenter(Segmenter):
    """Segment lesions with any MONAI transforms before and after the network.

    ::

        -- read -- preprocessing -- network -- postprocessing -- mask

    Where the steps are those of :class:`~monai_lesion.pipeline.steps.Steps`, :class:`~monai_lesion.LesionSegmenter`
    gives the same result and is faster, because MONAI's transforms carry metadata, copies and an undo list through each
    step.

    Args:
        network: gives logits ``(B, 1, H, W)`` of ``(B, 3, H, W)``.
        preprocess: as :func:`monai_lesion.pipeline.transforms.preprocessing`; its first step loads.
        postprocess: as :func:`monai_lesion.pipeline.transforms.postprocessing`.
        channel_order: colour order that the network takes, ``"rgb"`` or ``"bgr"``.
        bundle_version: version of the bundle that the network came from.
        execution: how to run the network; runtime None runs it in PyTorch, as it was trained.
        **options: the fields of ``execution``, given by name instead.

    Raises:
        InputError: for a runtime that cannot be used.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocess: Compose | None = None,
        postprocess: Compose | None = None,
        *,
        channel_order: str = "rgb",
        bundle_version: str = "",
        execution: Execution | None = None,
        **options: Any,
    ) -> None:
        chosen = Execution.of(execution, options)
        if chosen.views != 1:
            rule = "work only with the steps of monai_lesion.pipeline"
            raise InputError("views", rule, got="other transforms in the bundle")
        self.crop, self.network = chosen.crop, network.eval()
        self.preprocess = preprocess or preprocessing()
        self.postprocess = postprocess or postprocessing(self.preprocess, drop_channel=True)
        size = _input_size(self.preprocess)
        rgb, state = takes_rgb(network, channel_order).eval(), network.state_dict()
        if chosen.runtime is None:
            self.runtime: Any = PlainRuntime(rgb, device=chosen.device)
        else:
            self.runtime = open_runtime(rgb, Steps(input_size=size or (256, 256)), chosen)
        self.settings = {"channel_order": channel_order, "transforms": "of the bundle", "runtime": self.runtime.label}
        if size is not None:
            self.settings["input_size"] = str(list(size))
        name, weights = short_name(describe(state)), weights_id(state)
        self._algorithm = Algorithm(name, __version__, weights, bundle_version=bundle_version, settings=self.settings)

    @property
    def algorithm(self) -> Algorithm:
        """Network, version and the identity of the weights, for results."""
        return self._algorithm

    @torch.inference_mode()
    def find(self, image: UltrasoundImage) -> Finding:
        """Find mask and probability, upright and in the picture's size."""
        items: Any = {"image": MetaTensor.ensure_torch_and_prune_meta(*UltrasoundReader().get_data([image]))}
        items = Compose(self.preprocess.transforms[1:])(items)  # the first step loads
        logits, scores = self.runtime.outputs(items["image"].as_tensor()[None].numpy())
        check_finite(logits, f"{self.algorithm.name}, weights {self.algorithm.weights[:12]}")
        items["pred"] = MetaTensor(torch.from_numpy(logits)[0], meta=items["image"].meta, applied_operations=[])
        steps = self.postprocess.transforms
        discrete = next((i for i, step in enumerate(steps) if isinstance(step, AsDiscreted)), None)
        if discrete is None:
            raise InputError("postprocessing", "must contain a threshold (AsDiscreted)", got="none")
        items = Compose(steps[:discrete])(items)
        probability = dict(items)
        if not any(isinstance(step, Invertd) for step in steps[:discrete]):
            probability = Invertd("pred", transform=self.preprocess, orig_keys="image", nearest_interp=False)(items)
        grey = probability["pred"][0].numpy().T.astype(np.float32)
        mask = Compose(steps[discrete:])(items)["pred"].numpy()
        upright = np.ascontiguousarray(mask.reshape(grey.T.shape).T.astype(np.uint8))
        return Finding(upright, np.ascontiguousarray(grey), scores)


def _input_size(preprocess: Compose) -> tuple[int, int] | None:
    """Find the rows and columns that the transforms resize to; None when they do not resize."""
    for step in preprocess.transforms:
        if type(step).__name__ == "Resized":
            rows, columns = step.resizer.spatial_size
            return int(rows), int(columns)
    return None
