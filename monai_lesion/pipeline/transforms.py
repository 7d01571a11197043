"""The recipe's transforms: each function returns one flat ``Compose`` with the paper's values as defaults.

``preprocessing`` brings a file to the network, ``augmentation`` varies it, ``postprocessing`` brings the
prediction back to the file's own geometry. Li et al., ISBI 2021, section 4.1, and the authors' code.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    CastToTyped,
    Compose,
    CopyItemsd,
    EnsureChannelFirstd,
    FillHolesd,
    Invertd,
    InvertibleTransform,
    KeepLargestConnectedComponentd,
    LoadImaged,
    MapTransform,
    OneOf,
    RandAffined,
    RandFlipd,
    RandomizableTrait,
    RandomOrder,
    Resized,
    Transform,
)

from monai_lesion.errors import InputError
from monai_lesion.images.readers import LoadLabeld, UltrasoundReader
from monai_lesion.measures.masks import check_fits
from monai_lesion.pipeline.steps import check_choice

logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)  # see _loading

SPATIAL_SIZE = (256, 256)
# The authors' five border modes, drawn at random, as (interpolation, padding) of MONAI; an integer is a spline
# order of scipy, which knows the two borders that torch does not.
BORDERS: tuple[tuple[str | int, str], ...] = (
    ("bilinear", "zeros"),  # constant
    ("bilinear", "border"),  # edge
    ("bilinear", "reflection"),  # symmetric
    (1, "mirror"),  # reflect
    (1, "grid-wrap"),  # wrap
)


class Uprightd(MapTransform, InvertibleTransform):
    """Turn pictures upright: ``(C, W, H)`` as MONAI's readers order them to ``(C, H, W)``, and back.

    MONAI's ``Transposed`` neither inverts nor keeps the affine.
    """

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Transpose the two spatial axes of each key."""
        items = dict(data)
        for key in self.key_iterator(items):
            items[key] = self._transpose(items[key])
            self.push_transform(items[key])
        return items

    def inverse(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Undo :meth:`__call__`."""
        items = dict(data)
        for key in self.key_iterator(items):
            self.pop_transform(items[key])
            items[key] = self._transpose(items[key])
        return items

    @staticmethod
    def _transpose(image: torch.Tensor) -> torch.Tensor:
        turned = image.transpose(1, 2).contiguous()
        if isinstance(turned, MetaTensor):
            turned.affine = turned.affine[:, [1, 0, 2, 3]]
        return turned


class SameSized(Transform):
    """Refuse a label whose rows or columns differ from its image: resized, it would be learnt askew."""

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> Mapping[Hashable, torch.Tensor]:
        """Compare ``image`` and ``label``."""
        size, found = (tuple(data[key].shape[1:]) for key in ("image", "label"))
        check_fits(getattr(data["label"], "meta", {}).get("filename_or_obj", "label"), found, size)
        return data


class RoundToByted(MapTransform):
    """Round resized 0-255 pictures to unsigned 8-bit, so that a cache holds a quarter of the float bytes."""

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Round and clamp each key."""
        items = dict(data)
        for key in self.key_iterator(items):
            items[key] = items[key].round().clamp(0, 255).to(torch.uint8)
        return items


class ScaleByted(MapTransform, RandomizableTrait):
    """Divide 8-bit pictures by 255: float32 in 0-1.

    The step is not random. The trait makes ``CacheDataset`` store what comes before it, a quarter of the bytes.
    """

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Scale each key."""
        items = dict(data)
        for key in self.key_iterator(items):
            items[key] = items[key].to(torch.float32) / 255
        return items


class DropChannelAxisd(MapTransform):
    """Turn ``(1, W, H)`` into uint8 ``(W, H)``, as MONAI Label's writer needs; 3-D sources get one more axis."""

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Drop the channel axis of each key."""
        items = dict(data)
        for key in self.key_iterator(items):
            mask = items[key][0].to(torch.uint8)
            shape = getattr(items[key], "meta", {}).get("spatial_shape", (0, 0))
            items[key] = mask[..., None] if len(shape) == 3 else mask
        return items


def check_size(spatial_size: Any) -> None:
    """Check the size of a network's input.

    Raises:
        InputError: when it is not two whole numbers of at least 16 pixels.
    """
    listed = isinstance(spatial_size, Sequence) and not isinstance(spatial_size, str)
    if listed and len(spatial_size) == 2 and all(isinstance(side, int) and side >= 16 for side in spatial_size):
        return
    rule = "must be two whole numbers of at least 16 pixels, rows and columns"
    got = tuple(spatial_size) if listed else repr(spatial_size)
    side = spatial_size if isinstance(spatial_size, int) and spatial_size >= 16 else 128
    raise InputError("spatial_size", rule, got=got, fix=f"For example --spatial_size '[{side},{side}]'")


def _loading(keys: Sequence[str]) -> list[Any]:
    """Load upright: ``(3, H, W)`` pictures, ``(1, H, W)`` masks; the key ``label`` is a mask."""
    steps: list[Any] = []
    with warnings.catch_warnings():  # LoadImaged also makes MONAI's own readers, which miss a codec nobody needs here
        warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader")
        for key in keys:
            steps.append(LoadLabeld(key) if key == "label" else LoadImaged(key, reader=UltrasoundReader))
            steps.append(EnsureChannelFirstd(key, channel_dim="no_channel" if key == "label" else None))
    return [*steps, Uprightd(keys), *([SameSized()] if "label" in keys and "image" in keys else [])]


def preprocessing(
    keys: Sequence[str] = ("image",),
    *,
    spatial_size: Sequence[int] = SPATIAL_SIZE,
    resize_label: bool = True,
    augment: bool = False,
    calipers: float = 0.0,
) -> Compose:
    """Make the transforms from a file to the network's input.

    ::

        -- load -- upright -- resize -- 8-bit -- (calipers) -- (augment) -- / 255 --

    Args:
        keys: ``("image",)`` or ``("image", "label")``.
        spatial_size: rows and columns of the network's input, in pixels.
        resize_label: whether the label is resized too; evaluation keeps it at the original size.
        augment: insert :func:`augmentation`; ``CacheDataset`` stores everything before it.
        calipers: probability of removing a picture's electronic calipers or moving them elsewhere, each half the time;
            0, the paper's recipe, leaves them. The cache then stores a second picture, without calipers.

    Returns:
        A flat ``Compose`` that gives ``image`` float32 ``(3, rows, columns)`` in 0-1 and ``label`` uint8
        ``(1, rows, columns)``.

    Raises:
        InputError: for a ``spatial_size`` below 16, or ``calipers`` that is not a probability.
    """
    if not 0 <= calipers <= 1:
        raise InputError("calipers", "must be a probability from 0 to 1", got=calipers)
    check_size(spatial_size)
    steps = _loading(keys)
    resized = [key for key in keys if key != "label" or resize_label]
    if calipers:
        from monai_lesion.calipers.augmentations import CLEAN, FindCalipersd, RandCalipersd

        steps.append(FindCalipersd("image"))
        resized.append(CLEAN)
    steps.append(Resized(resized, spatial_size=tuple(spatial_size), mode="bilinear", dtype=torch.float32))
    if "label" in resized:
        steps.append(AsDiscreted("label", threshold=0.5, dtype=torch.uint8))
    steps.append(RoundToByted(["image", CLEAN] if calipers else "image"))
    if calipers:
        steps.append(RandCalipersd("image", prob=calipers))
    if augment:
        steps.extend(augmentation(keys, spatial_size=spatial_size).transforms)
        # An affine map gives float32, no map leaves bytes: a worker process cannot put both into one batch.
        steps.extend(CastToTyped(key, dtype=torch.uint8) for key in keys if key == "label")
    return Compose([*steps, ScaleByted("image")])


def augmentation(
    keys: Sequence[str] = ("image", "label"),
    *,
    spatial_size: Sequence[int] = SPATIAL_SIZE,
    flip_probability: float = 0.5,
    affine_probability: float = 0.5,
    scale: float = 0.2,
    translation: float = 0.2,
    rotation: float = 45.0,
    shear: float = 16.0,
) -> Compose:
    """Make the paper's random flips and affine map, in random order.

    Args:
        keys: what to vary in the same way; masks take the nearest pixel.
        spatial_size: rows and columns of the pictures, in pixels.
        flip_probability: probability of each flip.
        affine_probability: probability of the affine map.
        scale: each axis is magnified by a factor between 1 - scale and 1 + scale.
        translation: the shift of each axis, as a share of its size.
        rotation: the largest angle either way, in degrees.
        shear: the largest shear angle of each axis either way, in degrees.

    Source:
        Li et al., ISBI 2021, section 4.1; probabilities, order and border modes from the authors' code.
    """
    shift = [(-translation * size, translation * size) for size in spatial_size]
    factor = math.tan(math.radians(shear))
    zoom = (1 / (1 + scale) - 1, 1 / (1 - scale) - 1)  # MONAI scales the grid that it samples: the inverse

    def affine(interpolation: str | int, border: str) -> RandAffined:
        return RandAffined(
            keys,
            prob=1.0,  # OneOf below decides
            rotate_range=[(-math.radians(rotation), math.radians(rotation))],
            shear_range=[(-factor, factor)] * 2,
            translate_range=shift,
            scale_range=[zoom] * 2,
            mode=[
                interpolation if key == "image" else ("nearest" if border in ("zeros", "border", "reflection") else 0)
                for key in keys
            ],
            padding_mode=border,
        )

    chosen = [affine(*border) for border in BORDERS]
    weights = [1 - affine_probability, *[affine_probability / len(chosen)] * len(chosen)]
    return Compose(
        [
            RandomOrder(
                [
                    RandFlipd(keys, prob=flip_probability, spatial_axis=0),
                    RandFlipd(keys, prob=flip_probability, spatial_axis=1),
                    OneOf([Compose([]), *chosen], weights=weights),
                ]
            )
        ]
    )


def postprocessing(
    preprocessing: Compose | None = None,
    *,
    threshold: float = 0.5,
    keep: str = "largest",
    order: str = "resize_first",
    source: str = "pred",
    target: str = "pred",
    upright: bool = False,
    drop_channel: bool = False,
) -> Compose:
    """Make the transforms from logits to a mask with filled holes.

    ::

        -- sigmoid -- resize back -- threshold -- (largest component) -- fill holes --

    The same steps in numpy are :func:`monai_lesion.pipeline.operations.after`.

    Args:
        preprocessing: what to undo, so that the mask has the source's own size; None keeps the network's size.
        threshold: probability from which a pixel is lesion.
        keep: ``"largest"`` component, the paper's, or ``"all"``.
        order: ``"resize_first"`` resizes the probability and then thresholds, as the authors' code does, which is more
            exact; ``"threshold_first"`` resizes the finished mask, as the paper's text says.
        source: key of the logits.
        target: key of the mask; another key than ``source`` leaves the logits as they are.
        upright: end with ``(1, H, W)``, to match an upright label; otherwise ``(1, W, H)`` as MONAI writes it.
        drop_channel: end with ``(W, H)`` in the file's orientation, as MONAI Label wants it.

    Raises:
        InputError: for an unknown ``keep`` or ``order``.
    """
    for name, value in (("keep", keep), ("order", order)):
        check_choice(name, value)
    back = []
    if preprocessing is not None:
        nearest = order == "threshold_first"
        back = [Invertd(target, transform=preprocessing, orig_keys="image", nearest_interp=nearest, to_tensor=True)]
    clean = [
        AsDiscreted(target, threshold=threshold),
        *([KeepLargestConnectedComponentd(target, applied_labels=[1])] if keep == "largest" else []),
        FillHolesd(target, applied_labels=[1]),
    ]
    steps: list[Any] = [] if source == target else [CopyItemsd(source, names=target)]
    steps.append(Activationsd(target, sigmoid=True))
    steps += [*back, *clean] if order == "resize_first" else [*clean, *back]
    if upright and preprocessing is not None:
        steps.append(Uprightd(target))
    return Compose([*steps, DropChannelAxisd(target)] if drop_channel else steps)
