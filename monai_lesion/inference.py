"""The library's front door: from a picture to a mask of its own size."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscreted, Compose, Invertd
from numpy.typing import NDArray
from torch import nn

from monai_lesion import __version__
from monai_lesion.data.readers import UltrasoundImage, UltrasoundReader, read_image
from monai_lesion.data.writers import ENDINGS, write_mask
from monai_lesion.errors import InputError
from monai_lesion.networks.checkpoints import load_weights
from monai_lesion.transforms import postprocessing, preprocessing

Source = str | Path | NDArray[np.uint8]
FORMATS = (*ENDINGS, "json")


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

    def save(self, output_dir: str | Path, formats: Sequence[str] = ("png",), *, name: str | None = None) -> list[Path]:
        """Write the result.

        Args:
            output_dir: folder, made when absent.
            formats: ``"png"`` (mask, 0 and 255), ``"nifti"`` (mask with the picture's geometry), ``"json"`` (what was
                found, in pixels and, where known, millimetres).
            name: of the files without ending; None takes the picture's.

        Returns:
            The files written.

        Raises:
            InputError: for an unknown format.
        """
        for kind in formats:
            if kind not in FORMATS:
                raise InputError("formats", f"must be of {', '.join(FORMATS)}", got=kind)
        stem = Path(output_dir) / (name or Path(self.image.path or "image").name.removesuffix(".gz").rsplit(".", 1)[0])
        files = []
        for kind in formats:
            if kind == "json":
                files.append(self._write_json(Path(f"{stem}.json")))
            else:
                files.append(write_mask(self.mask, stem, format=kind, affine=self.image.affine))
        return files

    def _write_json(self, file: Path) -> Path:
        rows, columns = np.nonzero(self.mask)
        found = len(rows) > 0
        content = {
            "image": Path(self.image.path).name if self.image.path else None,
            "rows": self.mask.shape[0],
            "columns": self.mask.shape[1],
            "spacing_mm": self.spacing,
            "found": found,
            "pixels": len(rows),
            "box": [int(rows.min()), int(columns.min()), int(rows.max()), int(columns.max())] if found else None,
            "mean_probability": round(float(self.probability[self.mask > 0].mean()), 4) if found else None,
            "software": f"monai_lesion {__version__}",
            "notice": "Research use only; not a medical device",
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.partial")
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, file)
        return file


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
            InputError: when the folder is no bundle.
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
        network = load_weights(parser.get_parsed_content("network_def"), weights or root / "models" / "model.pt")
        steps = (parser.get_parsed_content(key) for key in ("preprocessing", "postprocessing"))
        return cls(network, *steps, device=device)

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
    def __call__(self, source: Source, *, frame: int | None = None) -> Segmentation: ...
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
