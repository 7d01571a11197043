"""The library's front door: from a picture to a mask of its own size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscreted, Compose, Invertd
from numpy.typing import NDArray
from torch import nn

from monai_lesion import __version__
from monai_lesion.data.images import frame_count
from monai_lesion.data.readers import UltrasoundImage, UltrasoundReader, read_image
from monai_lesion.data.regions import Region, region_of_interest
from monai_lesion.dicom.identity import Algorithm
from monai_lesion.errors import InputError, root_cause
from monai_lesion.networks.checkpoints import describe, load_weights
from monai_lesion.results import Segmentation
from monai_lesion.runtimes.factories import open_runtime, spatial_size_of
from monai_lesion.runtimes.fingerprints import weights_hash
from monai_lesion.runtimes.interfaces import Runtime
from monai_lesion.transforms import postprocessing, preprocessing

if TYPE_CHECKING:
    from monai_lesion.runtimes.quantization import CalibrationImages

Source = str | Path | NDArray[np.uint8]


class LesionSegmenter:
    """Segment lesions in ultrasound pictures.

    ::

        -- read -- preprocessing -- network -- postprocessing -- mask

    Args:
        network: gives logits ``(B, 1, H, W)`` of ``(B, 3, H, W)``.
        preprocess: as :func:`monai_lesion.transforms.preprocessing`; None for the paper's.
        postprocess: as :func:`monai_lesion.transforms.postprocessing`; None for the paper's.
        device: where the network runs; None takes CUDA where there is one.
        channel_order: ``"rgb"``, or ``"bgr"`` for the checkpoints that the paper's authors released.
        bundle_version: of the bundle that the network came from, for DICOM objects.
        settings: what else decides the mask, such as the threshold, for DICOM objects.
        crop: show the network only the largest region of 2-D tissue that the DICOM header names
            (:func:`monai_lesion.data.regions.region_of_interest`), without banner and colour bar; a picture without one
            is shown whole. Off, for the bundle sees the whole picture, and the library's mask is the bundle's.
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
        self.device = _device(device)
        self.network = network.to(self.device).eval()
        self.preprocess = preprocess or preprocessing()
        self.postprocess = postprocess or postprocessing(self.preprocess, drop_channel=True)
        self.channel_order = channel_order
        self.bundle_version = bundle_version
        self.settings = {"channel_order": channel_order, **(settings or {})}
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
        name, weights = describe(state), weights_hash(state)
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
            raise InputError(root, "must be a bundle with configs/inference.json", got="none")
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

    @overload
    def __call__(self, source: NDArray[np.uint8], *, frame: int | None = None) -> Segmentation: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, source: str | Path, *, frame: int) -> Segmentation: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, source: str | Path, *, frame: None = None) -> Any: ...
    @overload
    def __call__(self, source: Iterable[Source], *, frame: int | None = None) -> Iterator[Segmentation]: ...

    def __call__(
        self, source: Source | Iterable[Source], *, frame: int | None = None
    ) -> Segmentation | Iterator[Segmentation]:
        """Segment one picture, or each of several as it is asked for.

        Args:
            source: a path, an 8-bit array ``(H, W)`` or ``(H, W, 3)`` RGB, or an iterable of either.
            frame: frame of a cine, from 0; None for all.

        Returns:
            One result for a picture or a frame; for a cine without ``frame`` and for several sources an iterator, in
            which each frame is read and segmented when its turn comes.

        Raises:
            ImageError: when a file cannot be read.
            InputError: for an array of another shape or type.
        """
        if isinstance(source, np.ndarray):
            return self.segment(_from_array(source))
        if not isinstance(source, (str, Path)):
            return (result for each in source for result in self._each(each, frame))
        if frame is None and frame_count(source) > 1:
            return self._each(source, None)
        return self.segment(read_image(source, frame=frame))

    def _each(self, source: Source, frame: int | None) -> Iterator[Segmentation]:
        """The one result of a picture, or those of the frames of a cine."""
        frames: Iterable[int | None] = [frame]
        if frame is None and isinstance(source, (str, Path)) and (count := frame_count(source)) > 1:
            frames = range(count)
        for number in frames:
            yield self.segment(
                _from_array(source) if isinstance(source, np.ndarray) else read_image(source, frame=number)
            )

    def segment(self, image: UltrasoundImage) -> Segmentation:
        """Segment a picture that is read already.

        Raises:
            InputError: when the memory does not suffice, so that a batch goes on with the next.
        """
        try:
            return self._segment(image)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            rows, columns = image.pixels.shape[:2]
            fix = "Close other programs, or crop the picture"
            rule = "needs more memory than there is"
            raise InputError(image.path or "source", rule, got=f"{rows} x {columns} pixels", fix=fix) from error

    def _segment(self, image: UltrasoundImage) -> Segmentation:
        region = region_of_interest(image.calibration.regions) if self.crop else None
        if region is None:
            return Segmentation(image, *self._find(image), self.algorithm)
        mask, probability = np.zeros(image.pixels.shape[:2], np.uint8), np.zeros(image.pixels.shape[:2], np.float32)
        part = UltrasoundImage(
            np.ascontiguousarray(image.pixels[region.slices]), image.spacing, image.path, image.frame
        )
        mask[region.slices], probability[region.slices] = self._find(part)
        return Segmentation(image, mask, probability, _cropped(self.algorithm, region), region)

    @torch.inference_mode()
    def _find(self, image: UltrasoundImage) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Mask and probability, upright and of the picture's size."""
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
        upright = np.ascontiguousarray(mask.squeeze().T.astype(np.uint8))
        return upright, np.ascontiguousarray(grey)

    def _logits(self, batch: torch.Tensor) -> torch.Tensor:
        if self.runtime is not None:
            return torch.from_numpy(self.runtime(batch.numpy()))
        return self.network(batch.to(self.device)).float().cpu()  # type: ignore[no-any-return]


def _out_of_memory(error: BaseException) -> bool:
    """PyTorch on a CPU and OpenVINO say so in words only."""
    words = ("allocate memory", "not enough memory", "bad_alloc", "bad allocation")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in words)


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


def _cropped(algorithm: Algorithm, region: Region) -> Algorithm:
    crop = f"rows {region.top}-{region.bottom} columns {region.left}-{region.right}"
    return replace(algorithm, settings={**algorithm.settings, "crop": crop})


def _bundle_version(root: Path) -> str:
    file = root / "configs" / "metadata.json"
    return str(json.loads(file.read_text(encoding="utf-8")).get("version", "")) if file.is_file() else ""


def _from_array(array: NDArray[Any]) -> UltrasoundImage:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        rule = "an array must be unsigned 8-bit (H, W) or (H, W, 3)"
        raise InputError("source", rule, got=f"{array.dtype} {array.shape}")
    rgb = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)
    return UltrasoundImage(np.ascontiguousarray(rgb), None, "", None)
