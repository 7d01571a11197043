"""The sheet of pictures that an evaluation leaves: from the worst to the best, picked by percentile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_lesion.datasets.manifests import read_label
from monai_lesion.files import replacing
from monai_lesion.images.overlays import draw_overlay, pick_by_percentile
from monai_lesion.images.reading import read_image, read_mask

PERCENTILES = (0, 5, 10, 25, 50, 75, 90, 100)
TILE = (420, 340)  # width and height of a picture on the sheet, without its caption
CAPTION = 22


def write_overlays(
    records: Sequence[Mapping[str, Any]],
    entries: Mapping[str, Mapping[str, Any]],
    output_dir: str | Path,
    *,
    percentiles: Sequence[float] = PERCENTILES,
) -> Path:
    """Draw images picked by percentile of their Dice, not by beauty, and a sheet of them all.

    Args:
        records: rows of ``per_image.csv``, in the order of ``entries``; ``mask`` is relative to ``output_dir``.
        entries: the manifest's entry of each image file.
        output_dir: the evaluation's folder; the pictures go to ``overlays/``.
        percentiles: percentiles of Dice to show, from 0 (the worst) to 100.

    Returns:
        The sheet, ``overlays/sheet.png``.
    """
    from PIL import Image

    root, folder = Path(output_dir), Path(output_dir) / "overlays"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("[0-9][0-9]_*.png"):
        old.unlink()
    listed = list(entries.values())
    tiles = []
    picked = pick_by_percentile([float(record["dice"]) for record in records], percentiles)
    for number, (percentile, index) in enumerate(zip(percentiles, picked, strict=True)):
        record, entry = records[index], listed[index]
        label, pred = read_label(entry), read_mask(root / record["mask"])
        picture = Image.fromarray(draw_overlay(read_image(entry["image"], frame=0).pixels, label=label, pred=pred))
        _save(picture, folder / f"{number + 1:02d}_{Path(record['mask']).stem}.png")
        named: dict[float, str] = {0: "worst", 50: "median", 100: "best"}
        place = named.get(percentile, f"{percentile:g} %")
        text = f"{place}: case {record['case_id']} {record['view']}, Dice {float(record['dice']):.3f}"
        tiles.append(_tile(picture, text))
    sheet = folder / "sheet.png"
    _save(_arrange(tiles), sheet)
    return sheet


def _tile(picture: Any, text: str) -> Any:
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    tile = Image.new("RGB", (TILE[0], TILE[1] + CAPTION), (255, 255, 255))
    fitted = ImageOps.contain(picture, TILE)
    tile.paste(fitted, ((TILE[0] - fitted.width) // 2, CAPTION + (TILE[1] - fitted.height) // 2))
    ImageDraw.Draw(tile).text((6, 4), text, fill=(0, 0, 0), font=ImageFont.load_default(size=13))
    return tile


def _arrange(tiles: Sequence[Any]) -> Any:
    from PIL import Image, ImageDraw, ImageFont

    columns = min(4, len(tiles))
    rows = -(-len(tiles) // columns)
    width, height = tiles[0].size
    sheet = Image.new("RGB", (columns * width, rows * height + CAPTION), (255, 255, 255))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % columns * width, number // columns * height))
    draw, font, bottom = ImageDraw.Draw(sheet), ImageFont.load_default(size=13), rows * height + 3
    draw.text((6, bottom), "red: reference", fill=(200, 0, 0), font=font)
    draw.text((116, bottom), "green: prediction", fill=(0, 130, 0), font=font)
    draw.text((246, bottom), "picked by percentile of Dice, not by beauty", fill=(90, 90, 90), font=font)
    return sheet


def _save(picture: Any, path: Path) -> None:
    with replacing(path) as partial:
        picture.save(partial)
