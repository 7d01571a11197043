"""The library's front door: from a picture to a mask of its own size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscreted, Compose, Invertd
from numpy.typing import NDArray
from torch import nn

from monai_lesion import __version__
from monai_lesion.data.image_lists import find_images, output_names, raise_failures
from monai_lesion.data.readers import UltrasoundImage, UltrasoundReader, read_image
from monai_lesion.dicom.identity import Algorithm
from monai_lesion.errors import InputError, root_cause
from monai_lesion.networks.checkpoints import describe, load_weights
from monai_lesion.results import RESULT_ENDINGS, Segmentation
from monai_lesion.transforms import postprocessing, preprocessing

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

    Raises:
        InputError: for an unknown ``channel_order``.

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
    ) -> None:
        if channel_order not in ("rgb", "bgr"):
            raise InputError("channel_order", 'must be "rgb" or "bgr"', got=channel_order)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.network = network.to(self.device).eval()
        self.preprocess = preprocess or preprocessing()
        self.postprocess = postprocess or postprocessing(self.preprocess, drop_channel=True)
        self.channel_order = channel_order
        self.bundle_version = bundle_version
        self.settings = {"channel_order": channel_order, **(settings or {})}

    @cached_property
    def algorithm(self) -> Algorithm:
        """Network, version and a hash of the weights, for DICOM objects."""
        state, digest = self.network.state_dict(), hashlib.sha256()
        for name, tensor in state.items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        name, weights = describe(state), digest.hexdigest()
        return Algorithm(name, __version__, weights, bundle_version=self.bundle_version, settings=self.settings)

    @classmethod
    def from_bundle(
        cls,
        bundle: str | Path,
        *,
        weights: str | Path | None = None,
        device: str | torch.device | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> LesionSegmenter:
        """Take network, preprocessing and postprocessing from a bundle, so that its masks are the bundle's.

        Args:
            bundle: folder of the bundle.
            weights: file of the weights; None takes ``models/model.pt``.
            device: where the network runs; None takes CUDA where there is one.
            overrides: config values, such as ``{"network_def#group_size": 16}``.

        Raises:
            InputError: when the folder is no bundle, or an override is unknown to the network.
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
        return cls(network, *steps, device=device, bundle_version=_bundle_version(root), settings=settings)

    @classmethod
    def from_published(cls, path: str | Path, *, device: str | torch.device | None = None) -> LesionSegmenter:
        """Take a checkpoint that the paper's authors released; it is fed BGR as it was trained.

        Raises:
            CheckpointError: when the file is damaged, hostile or another network's.
        """
        from monai_lesion.networks.published import load_published

        network = load_published(path)
        return cls(network, device=device, channel_order=str(network.channel_order))

    @overload
    def __call__(self, source: Source, *, frame: int | None = None) -> Segmentation: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, source: Iterable[Source], *, frame: int | None = None) -> Iterator[Segmentation]: ...

    def __call__(
        self, source: Source | Iterable[Source], *, frame: int | None = None
    ) -> Segmentation | Iterator[Segmentation]:
        """Segment one picture, or each of several as it is asked for.

        Args:
            source: a path, an 8-bit array ``(H, W)`` or ``(H, W, 3)`` RGB, or an iterable of either.
            frame: frame of a cine, from 0.

        Raises:
            ImageError: when a file cannot be read.
            InputError: for an array of another shape or type.
        """
        if isinstance(source, (str, Path)):
            return self.segment(read_image(source, frame=frame))
        if isinstance(source, np.ndarray):
            return self.segment(_from_array(source))
        return (self(each, frame=frame) for each in source)

    @torch.inference_mode()
    def segment(self, image: UltrasoundImage) -> Segmentation:
        """Segment a picture that is read already."""
        items: Any = {"image": MetaTensor.ensure_torch_and_prune_meta(*UltrasoundReader().get_data([image]))}
        items = Compose(self.preprocess.transforms[1:])(items)  # the first step loads
        network_input = items["image"][[2, 1, 0]] if self.channel_order == "bgr" else items["image"]
        logits = self.network(network_input.as_tensor()[None].to(self.device))[0].float().cpu()
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
        return Segmentation(image, upright, np.ascontiguousarray(grey), self.algorithm)


def _bundle_version(root: Path) -> str:
    file = root / "configs" / "metadata.json"
    return str(json.loads(file.read_text(encoding="utf-8")).get("version", "")) if file.is_file() else ""


def _from_array(array: NDArray[Any]) -> UltrasoundImage:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        rule = "an array must be unsigned 8-bit (H, W) or (H, W, 3)"
        raise InputError("source", rule, got=f"{array.dtype} {array.shape}")
    rgb = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)
    return UltrasoundImage(np.ascontiguousarray(rgb), None, "", None)


def segment_files(
    segmenter: LesionSegmenter,
    sources: str | Path | Iterable[str | Path],
    output_dir: str | Path,
    *,
    formats: Sequence[str] = ("png",),
    frame: int | None = None,
    skip_existing: bool = False,
    progress: bool = True,
) -> int:
    """Segment files and folders and save each result; one bad file does not stop the rest.

    Args:
        segmenter: segments one picture.
        sources: files and folders.
        output_dir: folder of the results, named after the images.
        formats: as of :meth:`Segmentation.save`.
        frame: frame of cines, from 0.
        skip_existing: leave out images whose results exist all.
        progress: whether to show a bar with the time left.

    Returns:
        How many were segmented.

    Raises:
        InputError: at the end, naming each file that could not be segmented.
    """
    from tqdm import tqdm

    files = find_images(sources)
    failures: dict[str, str] = {}
    done = 0
    for file, name in tqdm(
        zip(files, output_names(files), strict=True),
        total=len(files),
        desc="segmenting",
        unit="image",
        disable=not progress,
    ):
        results = [Path(output_dir) / f"{name}{RESULT_ENDINGS[kind]}" for kind in formats]
        if skip_existing and all(result.exists() for result in results):
            continue
        try:
            segmenter(file, frame=frame).save(output_dir, formats, name=name)
            done += 1
        except InputError as error:
            failures[str(file)] = str(error)
    raise_failures(failures, len(files))
    return done
