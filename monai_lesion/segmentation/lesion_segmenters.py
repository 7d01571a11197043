"""The library's front door: from a picture to a mask of its own size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscreted, Compose, Invertd
from numpy.typing import NDArray
from torch import nn

from monai_lesion._version import __version__
from monai_lesion.dicom.identity import Algorithm
from monai_lesion.errors import InputError, root_cause
from monai_lesion.images.readers import UltrasoundImage, UltrasoundReader
from monai_lesion.models.presets import DEFAULT, load_preset, preset_names
from monai_lesion.networks.checkpoints import describe, load_weights
from monai_lesion.networks.identity import weights_id
from monai_lesion.pipeline.recipes import exact_recipe
from monai_lesion.pipeline.transforms import postprocessing, preprocessing
from monai_lesion.runtimes.factories import open_runtime, spatial_size_of
from monai_lesion.runtimes.interfaces import Runtime
from monai_lesion.segmentation.segmenters import Segmenter, Source

if TYPE_CHECKING:
    from monai_lesion.runtimes.quantization import CalibrationImages

__all__ = ["LesionSegmenter", "Source"]


class LesionSegmenter(Segmenter):
    """Segment lesions in ultrasound pictures.

    ::

        -- read -- preprocessing -- network -- postprocessing -- mask

    Args:
        network: gives logits ``(B, 1, H, W)`` of ``(B, 3, H, W)``.
        preprocess: as :func:`monai_lesion.pipeline.transforms.preprocessing`; None for the paper's.
        postprocess: as :func:`monai_lesion.pipeline.transforms.postprocessing`; None for the paper's.
        device: where the network runs; None takes CUDA where there is one.
        channel_order: ``"rgb"``, or ``"bgr"`` for the checkpoints that the paper's authors released.
        bundle_version: of the bundle that the network came from, for DICOM objects.
        settings: what else decides the mask, such as the threshold, for DICOM objects.
        crop: show the network only the largest region of 2-D tissue that the DICOM header names
            (:func:`monai_lesion.images.regions.region_of_interest`), without banner and colour bar; a picture without
            one is shown whole. Off, for the bundle sees the whole picture, and the library's mask is the bundle's.
        runtime: what runs the network: ``"torch"``, ``"torch-compile"``, ``"onnx"``, ``"openvino"``, ``"auto"``, an
            exported folder, or a :class:`~monai_lesion.runtimes.interfaces.Runtime`. None runs the network as it was
            trained, in PyTorch and float32, so that the mask is the bundle's to the bit.
        precision: of the runtime, ``"fp32"``, ``"bf16"`` or ``"int8"``; None is fp32, and with ``"auto"`` any.
        calibration: pictures for int8: a manifest whose paths start from its own folder, or what
            :func:`~monai_lesion.runtimes.quantization.calibration_images` read.

    Raises:
        InputError: for an unknown ``channel_order``, or a runtime that cannot be used.

    Example:
        >>> from monai_lesion.networks import LighterUNet
        >>> segmenter = LesionSegmenter(LighterUNet(group_size=1))
        >>> segmenter(np.zeros((100, 150), np.uint8)).mask.shape
        (100, 150)
    """

    def __init__(
        self,
        network: nn.Module,
        preprocess: Compose | None = None,
        postprocess: Compose | None = None,
        *,
        device: str | torch.device | None = None,
        channel_order: str = "rgb",
        bundle_version: str = "",
        settings: Mapping[str, str] | None = None,
        crop: bool = False,
        runtime: str | Path | Runtime | None = None,
        precision: str | None = None,
        calibration: CalibrationImages | str | Path | None = None,
    ) -> None:
        if channel_order not in ("rgb", "bgr"):
            raise InputError("channel_order", 'must be "rgb" or "bgr"', got=channel_order)
        if device is None and runtime in ("onnx", "openvino"):
            device = "cpu"  # the only one that they run on
        self.device = _device(device)
        self.network = network.to(self.device).eval()
        self.preprocess = preprocess or preprocessing()
        self.postprocess = postprocess or postprocessing(self.preprocess, drop_channel=True)
        self.recipe = exact_recipe(self.preprocess, self.postprocess)
        self.channel_order = channel_order
        self.bundle_version = bundle_version
        self.settings: dict[str, str] = {"channel_order": channel_order, **(settings or {})}
        self.crop = crop
        if runtime is None and precision is not None:
            raise InputError("precision", "needs a runtime", got=precision, fix='For example runtime="openvino"')
        self.runtime: Runtime | None = None
        if runtime is not None:
            self.runtime = open_runtime(
                self.network,
                runtime,
                precision=precision,
                spatial_size=spatial_size_of(self.preprocess),
                device=str(self.device),
                calibration=calibration,
                threshold=float(self.settings.get("threshold", 0.5)),
            )
            self.settings["runtime"] = self.runtime.label

    @cached_property
    def algorithm(self) -> Algorithm:
        """Network, version and a hash of the weights, for DICOM objects."""
        state = self.network.state_dict()
        name, weights = describe(state), weights_id(state)
        return Algorithm(name, __version__, weights, bundle_version=self.bundle_version, settings=self.settings)

    @classmethod
    def from_bundle(
        cls,
        bundle: str | Path,
        *,
        weights: str | Path | None = None,
        device: str | torch.device | None = None,
        overrides: Mapping[str, Any] | None = None,
        crop: bool = False,
        runtime: str | Path | Runtime | None = None,
        precision: str | None = None,
        calibration: CalibrationImages | str | Path | None = None,
    ) -> LesionSegmenter:
        """Take network, preprocessing and postprocessing from a bundle, so that its masks are the bundle's.

        Args:
            bundle: folder of the bundle.
            weights: file of the weights; None takes ``models/model.pt``.
            device: where the network runs; None takes CUDA where there is one.
            overrides: config values, such as ``{"network_def#group_size": 16}``.
            crop: as of the class; the masks of cropped pictures are no longer the bundle's.
            runtime: as of the class, like ``precision`` and ``calibration``.
            precision: of the runtime.
            calibration: for int8.

        Raises:
            InputError: when the folder is no bundle, an override is unknown to the network, or the runtime cannot be
                used.
            CheckpointError: when the weights are missing or another network's.
        """
        from monai.bundle import ConfigParser

        root = Path(bundle)
        config = root / "configs" / "inference.json"
        if not config.is_file():
            fix = f"Or name a network that comes with the package: {', '.join(preset_names())}"
            raise InputError(root, "must be a bundle with configs/inference.json", got="none", fix=fix)
        parser = ConfigParser()
        parser.read_config(str(config))
        parser["bundle_root"] = str(root)
        parser["device"] = str(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        for key, value in (overrides or {}).items():
            if key.replace("::", "#").split("#")[0] not in parser.config:
                known = ", ".join(name for name in parser.config if not name.startswith("_"))
                raise InputError(key, f"must be a key of {config}: {known}", got=f"{key}={value}")
            try:
                parser[key] = value
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(key, f"must be a key of {config}", got=value) from error
        try:
            network, *steps = map(parser.get_parsed_content, ("network_def", "preprocessing", "postprocessing"))
        except Exception as error:  # MONAI wraps whatever a component raises
            raise InputError(config, "must describe network and transforms", got=root_cause(error)) from error
        load_weights(network, weights or root / "models" / "model.pt")
        settings = {key: str(parser.get(key)) for key in ("spatial_size", "threshold", "order")}
        version = _bundle_version(root)
        return cls(
            network,
            *steps,
            device=device,
            bundle_version=version,
            settings=settings,
            crop=crop,
            runtime=runtime,
            precision=precision,
            calibration=calibration,
        )

    @classmethod
    def from_preset(
        cls,
        name: str = DEFAULT,
        *,
        device: str | torch.device | None = None,
        crop: bool = False,
        runtime: str | Path | Runtime | None = None,
        precision: str | None = None,
        calibration: CalibrationImages | str | Path | None = None,
    ) -> LesionSegmenter:
        """Take a network that comes with the package, trained; read its model card before its masks.

        Args:
            name: one of :func:`monai_lesion.models.presets.preset_names`.
            device: as of the class, like all others.
            crop: whether to show the tissue region only.
            runtime: what runs the network.
            precision: of the runtime.
            calibration: for int8.

        Raises:
            InputError: for an unknown name, or a runtime that cannot be used.
        """
        from monai.bundle import ConfigParser

        preset = load_preset(name)
        network = ConfigParser({"network": preset.overrides["network_def"]}).get_parsed_content("network")
        load_weights(network, preset.weights)
        size = preset.overrides["spatial_size"]
        before = preprocessing(spatial_size=size)
        return cls(
            network,
            before,
            postprocessing(before, drop_channel=True),
            device=device,
            settings={"spatial_size": str(size), "threshold": "0.5", "order": "resize_first"},
            crop=crop,
            runtime=runtime,
            precision=precision,
            calibration=calibration,
        )

    @classmethod
    def from_published(
        cls,
        path: str | Path,
        *,
        device: str | torch.device | None = None,
        crop: bool = False,
        runtime: str | Path | Runtime | None = None,
        precision: str | None = None,
        calibration: CalibrationImages | str | Path | None = None,
    ) -> LesionSegmenter:
        """Take a checkpoint that the paper's authors released; it is fed BGR as it was trained.

        Args:
            path: the checkpoint.
            device: as of the class, like all others.
            crop: whether to show the tissue region only.
            runtime: what runs the network.
            precision: of the runtime.
            calibration: for int8.

        Raises:
            CheckpointError: when the file is damaged, hostile or another network's.
        """
        from monai_lesion.networks.published import load_published

        network = load_published(path)
        return cls(
            network,
            device=device,
            channel_order=str(network.channel_order),
            crop=crop,
            runtime=runtime,
            precision=precision,
            calibration=calibration,
        )

    @torch.inference_mode()
    def find(self, image: UltrasoundImage) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Mask and probability, upright and of the picture's size."""
        if self.recipe is not None:
            batch = self.recipe.before(image.pixels)
            logits = self._logits(batch[:, [2, 1, 0]] if self.channel_order == "bgr" else batch)
            return self.recipe.after(logits, image.pixels.shape[:2])
        items: Any = {"image": MetaTensor.ensure_torch_and_prune_meta(*UltrasoundReader().get_data([image]))}
        items = Compose(self.preprocess.transforms[1:])(items)  # the first step loads
        network_input = items["image"][[2, 1, 0]] if self.channel_order == "bgr" else items["image"]
        logits = self._logits(network_input.as_tensor()[None])[0]
        items["pred"] = MetaTensor(logits, meta=items["image"].meta, applied_operations=[])
        steps = self.postprocess.transforms
        discrete = next(i for i, step in enumerate(steps) if isinstance(step, AsDiscreted))
        items = Compose(steps[:discrete])(items)
        probability = dict(items)
        if not any(isinstance(step, Invertd) for step in steps[:discrete]):
            probability = Invertd("pred", transform=self.preprocess, orig_keys="image", nearest_interp=False)(items)
        grey = probability["pred"][0].numpy().T.astype(np.float32)
        mask = Compose(steps[discrete:])(items)["pred"].numpy()
        upright = np.ascontiguousarray(mask.reshape(grey.T.shape).T.astype(np.uint8))
        return upright, np.ascontiguousarray(grey)

    def _logits(self, batch: torch.Tensor) -> torch.Tensor:
        if self.runtime is not None:
            return torch.from_numpy(self.runtime(batch.numpy()))
        return self.network(batch.to(self.device)).float().cpu()  # type: ignore[no-any-return]


def _device(device: str | torch.device | None) -> torch.device:
    """The device named, or CUDA where there is one."""
    cuda = torch.cuda.is_available()
    try:
        chosen = torch.device(device or ("cuda" if cuda else "cpu"))
    except RuntimeError as error:
        raise InputError("device", "must be one that PyTorch knows, such as cpu or cuda", got=device) from error
    if chosen.type == "cuda" and not cuda:
        raise InputError("device", "CUDA needs a GPU and a PyTorch built for it", got="neither here", fix="Use cpu")
    return chosen


def _bundle_version(root: Path) -> str:
    file = root / "configs" / "metadata.json"
    return str(json.loads(file.read_text(encoding="utf-8")).get("version", "")) if file.is_file() else ""
