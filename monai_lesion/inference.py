"""The library's front door: from a picture to a mask of its own size."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from monai_lesion.data.writers import ENDINGS, write_mask
from monai_lesion.errors import ImageError, InputError, root_cause
from monai_lesion.measurements import Measurements, measure
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.overlays import draw_overlay
from monai_lesion.transforms import postprocessing, preprocessing

logger = logging.getLogger(__name__)

Source = str | Path | NDArray[np.uint8]
RESULT_ENDINGS = {**ENDINGS, "json": ".json", "overlay": "_overlay.png"}
FORMATS = tuple(RESULT_ENDINGS)


@dataclass(frozen=True)
class Segmentation:
    """What was found in one picture; all arrays are upright and have its size.

    Attributes:
        image: the picture.
        mask: ``(H, W)`` uint8, 1 in the lesion.
        probability: ``(H, W)`` float32 in 0-1.
    """

    image: UltrasoundImage
    mask: NDArray[np.uint8]
    probability: NDArray[np.float32]

    @property
    def spacing(self) -> tuple[float, float] | None:
        """Row and column step in millimetres; None when the file does not know them."""
        return self.image.spacing

    @cached_property
    def measurements(self) -> Measurements | None:
        """Axes, area and more, each with its unit: millimetres where the spacing is known; None without a lesion."""
        return measure(self.mask, self.spacing) if self.mask.any() else None

    def save(self, output_dir: str | Path, formats: Sequence[str] = ("png",), *, name: str | None = None) -> list[Path]:
        """Write the result.

        Args:
            output_dir: folder, made when absent.
            formats: ``"png"`` (mask, 0 and 255), ``"nifti"`` (mask with the picture's geometry), ``"json"`` (what was
                found, with measurements), ``"overlay"`` (the picture with the contour, PNG).
            name: of the files without ending; None takes the picture's.

        Returns:
            The files written.

        Raises:
            InputError: for an unknown format.
        """
        for kind in formats:
            if kind not in FORMATS:
                raise InputError("formats", f"must be of {', '.join(FORMATS)}", got=kind)
        stem = Path(output_dir) / (name or output_names([Path(self.image.path or "image")])[0])
        return [self._write(kind, stem) for kind in formats]

    def _write(self, kind: str, stem: Path) -> Path:
        if kind in ENDINGS:
            return write_mask(self.mask, stem, format=kind, affine=self.image.affine)
        file = Path(f"{stem}{RESULT_ENDINGS[kind]}")
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".partial-{file.name}")
        if kind == "json":
            partial.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        else:
            from PIL import Image

            Image.fromarray(draw_overlay(self.image.pixels, pred=self.mask)).save(partial)
        os.replace(partial, file)
        return file

    def to_dict(self) -> dict[str, Any]:
        """What was found, as the JSON file holds it."""
        found = self.measurements
        return {
            "image": Path(self.image.path).name if self.image.path else None,
            "frame": self.image.frame,
            "rows": self.mask.shape[0],
            "columns": self.mask.shape[1],
            "spacing_mm": self.spacing,
            "found": found is not None,
            "mean_probability": None if found is None else round(float(self.probability[self.mask > 0].mean()), 4),
            "measurements": None if found is None else found.to_dict(),
            "software": f"monai_lesion {__version__}",
            "notice": "Research use only; not a medical device",
        }


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
    ) -> None:
        if channel_order not in ("rgb", "bgr"):
            raise InputError("channel_order", 'must be "rgb" or "bgr"', got=channel_order)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.network = network.to(self.device).eval()
        self.preprocess = preprocess or preprocessing()
        self.postprocess = postprocess or postprocessing(self.preprocess, drop_channel=True)
        self.channel_order = channel_order

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
        return cls(load_weights(network, weights or root / "models" / "model.pt"), *steps, device=device)

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
        return Segmentation(image, np.ascontiguousarray(mask.squeeze().T.astype(np.uint8)), np.ascontiguousarray(grey))


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
        except ImageError as error:
            failures[str(file)] = str(error)
    raise_failures(failures, len(files))
    return done
