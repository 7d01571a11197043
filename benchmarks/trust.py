r"""Whether decision, trust and intervals of a calibrated model hold: each figure with its count and 95 % interval.

Run, for a model folder that ``monai-lesion calibrate`` has calibrated on the lists ``calibration``::

    python benchmarks/trust.py --bundle runs/clinic --manifest both.json --dataset-dir shared/data --split test \
        --far shared/data/us_dicom --output trust.json

Pictures without a lesion are those of the manifest, and made ones: the lesion of a picture covered with tissue of its
own picture, as in the training, and the largest part of a picture that lies beside its lesion, cut out. Pictures far
from the training data are the files of ``--far``, and a text page, noise, photographs and simulated tissue of another
organ, made here. Baselines are computed on every third picture (``--every``), because they run the network more often:
largest probability, expected Dice of the map after temperature scaling (fitted on the split ``calibration``), entropy
under dropout, and agreement of three views. Intervals of figures come from drawing cases with replacement; those of
shares are exact. Nothing here chooses anything.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion import LesionSegmenter
from monai_lesion.datasets.manifests import Manifest, load_manifest, read_label
from monai_lesion.errors import InputError
from monai_lesion.images.reading import ImageFile, read_image
from monai_lesion.machine.progress_bars import bar
from monai_lesion.measures.decisions import format_decisions, share_of, share_text, summarise_decisions
from monai_lesion.measures.judgements import signals_of, signals_of_views
from monai_lesion.measures.metrics import dice
from monai_lesion.measures.reliability import auc, rank_correlation
from monai_lesion.segmentation.calibrations import JudgedPicture, look
from monai_lesion.segmentation.trust import Trust, columns_of_sizes

Pixels = NDArray[np.uint8]
DRAWS = 1000


def rows_of(pictures: Sequence[JudgedPicture], trust: Trust) -> list[dict[str, Any]]:
    """The columns that an evaluation's table has."""
    return [
        {
            "case_id": each.case_id,
            "group": each.group,
            "lesions": int(each.lesion),
            "dice": each.dice if math.isfinite(each.dice) else 1.0,
            "width": widths(each, trust),
            **columns_of_sizes(trust, each.signals, each.measured, each.true, each.group),
        }
        for each in pictures
    ]


def widths(picture: JudgedPicture, trust: Trust) -> dict[str, float]:
    """Each interval's width over the measured size."""
    verdict = trust.verdict(picture.signals, found=picture.found, scanner=picture.group)
    intervals = verdict.intervals(picture.measured) if picture.measured else None
    return {
        name: (each.high.value - each.low.value) / getattr(picture.measured, name).value
        for name, each in (intervals or {}).items()
    }


def drawn(statistic: Callable[[Sequence[Any]], float], rows: Sequence[Any], cases: Sequence[str]) -> str:
    """A figure with its 95 % interval, by drawing cases with replacement."""
    members: dict[str, list[Any]] = {}
    for row, case in zip(rows, cases, strict=True):
        members.setdefault(case, []).append(row)
    groups, draw = list(members.values()), np.random.default_rng(0)
    found = [
        statistic([row for number in draw.integers(0, len(groups), len(groups)) for row in groups[number]])
        for _ in range(DRAWS)
    ]
    finite = [value for value in found if math.isfinite(value)]
    if not finite:
        return f"- (n {len(rows)})"
    low, high = np.percentile(finite, [2.5, 97.5])
    return f"{statistic(rows):.3f} ({low:.3f}-{high:.3f}), n {len(rows)}"


def report(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Print what section 4 of the issue asks of some pictures."""
    print(f"\n{name}: {len(rows)} pictures of {len({row['case_id'] for row in rows})} cases")
    summary = summarise_decisions(rows)
    print(format_decisions(summary))
    lesions = [row for row in rows if row["lesions"]]
    cases = [row["case_id"] for row in lesions]
    figures = {
        "presence_auc": drawn(presence_auc, rows, [row["case_id"] for row in rows]),
        "spearman": drawn(lambda part: rank_correlation(*columns(part)), lesions, cases),
        "auc_poor": drawn(lambda part: poor_auc(*columns(part)), lesions, cases),
        "dice": drawn(lambda part: float(np.mean([row["dice"] for row in part])), lesions, cases),
        "dice_of_80_percent": drawn(dice_of_trusted, lesions, cases),
    }
    for key, text in figures.items():
        print(f"  {key}: {text}")
    for size in ("long_axis", "short_axis", "area"):
        values = [row["width"][size] for row in rows if size in row["width"] and row["lesions"]]
        if values:
            figures[f"median_width_{size}"] = f"{np.median(values):.3f} of the measured size, n {len(values)}"
            print(f"  median width, {size}: {figures[f'median_width_{size}']}")
    return {"summary": summary, **figures}


def columns(rows: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return [row["quality"] for row in rows], [row["dice"] for row in rows]


def presence_auc(rows: Sequence[dict[str, Any]]) -> float:
    parts = ([row["presence"] for row in rows if bool(row["lesions"]) is wanted] for wanted in (True, False))
    return auc(*parts)


def poor_auc(signal: Sequence[float], quality: Sequence[float]) -> float:
    values, poor = -np.asarray(signal), np.asarray(quality) < 0.5
    return auc(values[poor], values[~poor])


def dice_of_trusted(rows: Sequence[dict[str, Any]]) -> float:
    best = sorted(rows, key=lambda row: -row["quality"])[: round(0.8 * len(rows))]
    return float(np.mean([row["dice"] for row in best])) if best else math.nan


def without_lesion(manifest: Manifest, split: str, every: int) -> Iterator[tuple[str, Pixels]]:
    """Pictures whose lesion was covered as in the training, and parts beside lesions."""
    import torch

    from monai_lesion.training.negatives import RemoveLesions

    torch.manual_seed(0)
    entries = [entry for entry in manifest.entries(split) if not entry.get("empty")][::every]
    for number, entry in enumerate(entries):
        others = [entry, entries[(number + 1) % len(entries)]]
        pairs = [shrunk(read_image(each["image"]).pixels, read_label(each)) for each in others]
        images = torch.stack([torch.from_numpy(pixels / np.float32(255)).permute(2, 0, 1) for pixels, _ in pairs])
        labels = torch.stack([torch.from_numpy(label)[None].float() for _, label in pairs])
        changed, left = RemoveLesions(1.0, decoys=0.0)(images, labels)
        if not bool(left[0].any()):
            yield "covered", (changed[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
        pixels, label = read_image(entry["image"]).pixels, read_label(entry)
        part = beside(label)
        if part is not None:
            yield "beside", np.ascontiguousarray(pixels[part])


def shrunk(pixels: Pixels, label: NDArray[np.bool_], side: int = 256) -> tuple[Pixels, NDArray[np.bool_]]:
    from PIL import Image

    small = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
    mask = Image.fromarray(label.astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)
    return np.asarray(small), np.asarray(mask) > 0


def beside(label: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """The largest part of the picture beside the lesion, at least three tenths of it."""
    (top, left), (bottom, right) = np.argwhere(label).min(axis=0), np.argwhere(label).max(axis=0) + 1
    rows, across = label.shape
    rim = max(rows, across) // 40
    parts = [
        (slice(0, rows), slice(0, max(0, left - rim))),
        (slice(0, rows), slice(min(across, right + rim), across)),
        (slice(0, max(0, top - rim)), slice(0, across)),
        (slice(min(rows, bottom + rim), rows), slice(0, across)),
    ]
    areas = [(down.stop - down.start) * (over.stop - over.start) for down, over in parts]
    best = int(np.argmax(areas))
    return parts[best] if areas[best] >= 0.3 * label.size else None


def far_pictures(folder: Path | None) -> Iterator[tuple[str, Pixels]]:
    """Pictures that the network has nothing to say about."""
    for file in sorted(folder.glob("*.dcm")) if folder else []:
        try:
            with ImageFile(file) as source:
                frames = source.frames
                for frame in range(0, frames, max(1, frames // 5)):
                    yield f"files of {folder.name}", read_image(source, frame=frame if frames > 1 else None).pixels
        except InputError as error:
            print(error)
    draw = np.random.default_rng(0)
    for number in range(10):
        yield "text page", text_page(draw, dark=number % 2 == 1, size=13 + 2 * number)
        yield "noise", draw.integers(0, 256, (300 + 20 * number, 400, 3 if number % 2 else 1), dtype=np.uint8)
        yield "other organ, simulated", organ(draw, ("vessel", "liver", "kidney")[number % 3])
    from skimage import data

    for name in (
        "camera",
        "astronaut",
        "coffee",
        "cat",
        "coins",
        "moon",
        "page",
        "rocket",
        "brick",
        "grass",
        "gravel",
        "cell",
    ):
        try:
            picture = np.asarray(getattr(data, name)())
        except Exception as error:  # some are downloaded on first use, which a benchmark does not do
            print(f"photograph {name}: {type(error).__name__}")
            continue
        yield "photograph", (picture if picture.ndim == 3 else picture[..., None])[..., :3]


def text_page(draw: np.random.Generator, *, dark: bool, size: int) -> Pixels:
    from PIL import Image, ImageDraw, ImageFont

    words = ["report", "left", "ultrasound", "no", "findings", "of", "the", "breast", "patient", "without"]
    sheet = Image.new("RGB", (600, 800), "black" if dark else "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=size)
    for row in range(20, 780, size + 8):
        pen.text((20, row), " ".join(draw.choice(words, 8)), fill="white" if dark else "black", font=font)
    return np.asarray(sheet)


def organ(draw: np.random.Generator, kind: str) -> Pixels:
    """Speckle of a scanner around a vessel, below a liver's capsule, or in a kidney."""
    from scipy.ndimage import gaussian_filter

    rows, across = np.mgrid[0:360, 0:480]
    level = np.full((360, 480), 0.5) * (1 - rows / 900)
    if kind == "vessel":
        lumen = np.abs(rows - 180 - 15 * np.sin(across / 120)) / 45
        level = np.where(lumen < 0.85, 0.03, np.where(lumen < 1.05, 1.4, level))
    elif kind == "liver":
        capsule = np.abs(rows - 60 - (across - 240) ** 2 / 1500) < 4
        diaphragm = np.abs(rows - 300 + (across - 240) ** 2 / 900) < 5
        level = np.where(capsule | diaphragm, 2.0, level)
    else:
        ring = np.hypot((rows - 180) / 80, (across - 240) / 150)
        level = np.where(ring < 0.45, 1.2, np.where(ring < 1, 0.25, level))
    parts = [gaussian_filter(draw.standard_normal((360, 480)), (1.0, 2.0)) for _ in range(2)]
    grey = np.log1p(40 * level * np.hypot(*parts) / np.hypot(*parts).mean())
    return (255 * grey / grey.max()).astype(np.uint8)[..., None]


def coloured(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2))


def baselines(segmenter: LesionSegmenter, manifest: Manifest, split: str, every: int) -> dict[str, dict[str, str]]:
    """Spearman and the flagging of a poor Dice by other signals, on the same pictures as the score."""
    temperature = fitted_temperature(segmenter, manifest, every)
    print(f"temperature {temperature:.2f}, fitted on the split calibration")
    entries = [entry for entry in manifest.entries(split) if not entry.get("empty")][::every]
    network = None
    try:
        network = segmenter.network
    except InputError as error:
        print(f"no dropout: {error}")
    table: list[dict[str, float]] = []
    for entry in bar(entries, title="baselines"):
        pixels = read_image(entry["image"]).pixels
        found = segmenter.find(read_image(entry["image"]))
        mask = found.mask > 0
        cooler = at_temperature(found.probability, temperature)
        total = float(cooler.sum()) + int(mask.sum())
        row = {
            "dice": dice(mask, read_label(entry)),
            "largest probability": float(found.probability.max()),
            "temperature scaling, expected Dice": 2 * float(cooler[mask].sum()) / total if total else 0.0,
            "three views": signals_of_views(
                found.mask, pixels, lambda each: segmenter.find(read_array(each)).mask
            ).quality,
        }
        if found.scores is not None:
            row["quality score"] = signals_of(found.scores).quality
        if network is not None:
            row["dropout entropy"] = -dropout_uncertainty(network, segmenter.steps.before(pixels))
        table.append(row)
    cases = [entry["case_id"] for entry in entries]
    found_figures = {}
    for name in [name for name in table[0] if name != "dice"]:
        pairs = [(row[name], row["dice"]) for row in table]
        found_figures[name] = {
            "spearman": drawn(lambda part: rank_correlation(*zip(*part, strict=True)), pairs, cases),
            "auc_poor": drawn(lambda part: poor_auc(*zip(*part, strict=True)), pairs, cases),
        }
        print(f"  {name}: Spearman {found_figures[name]['spearman']}; Dice < 0.5 AUC {found_figures[name]['auc_poor']}")
    return found_figures


def read_array(pixels: Pixels) -> Any:
    from monai_lesion.images.reading import UltrasoundImage

    return UltrasoundImage(pixels, None, "", None)


def at_temperature(probability: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    clear = np.clip(probability.astype(np.float64), 1e-6, 1 - 1e-6)
    return 1 / (1 + np.exp(-np.log(clear / (1 - clear)) / temperature))


def fitted_temperature(segmenter: LesionSegmenter, manifest: Manifest, every: int) -> float:
    """The temperature of the smallest cross-entropy over the pixels of the calibration split."""
    from scipy.optimize import minimize_scalar

    maps, labels = [], []
    for entry in manifest.entries("calibration")[::every]:
        probability, label = segmenter.find(read_image(entry["image"])).probability, read_label(entry)
        maps.append(probability[::4, ::4].ravel())
        labels.append(label[::4, ::4].ravel())
    probability, label = np.concatenate(maps), np.concatenate(labels)

    def loss(temperature: float) -> float:
        p = at_temperature(probability, temperature)
        return float(-np.mean(np.where(label, np.log(p), np.log(1 - p))))

    return float(minimize_scalar(loss, bounds=(0.2, 10), method="bounded").x)


def dropout_uncertainty(network: Any, pixels: NDArray[np.float32]) -> float:
    import torch

    from monai_lesion.label.uncertainty import dropout_maps, uncertainty
    from monai_lesion.networks import logits_of

    torch.manual_seed(0)
    maps = dropout_maps(network, torch.from_numpy(pixels), infer=lambda image, net: logits_of(net(image)))
    return uncertainty(maps)


def decided(segmenter: LesionSegmenter, pictures: Iterator[tuple[str, Pixels]]) -> dict[str, list[tuple[str, float]]]:
    """Decision and presence of pictures, by kind."""
    found: dict[str, list[tuple[str, float]]] = {}
    for kind, pixels in pictures:
        result = segmenter(coloured(pixels))
        presence = math.nan if result.scores is None else signals_of(result.scores).presence
        found.setdefault(kind, []).append((str(result.decision), presence))
    return found


def draw_curves(
    file: Path, lesions: dict[str, list[float]], without: dict[str, list[float]], rows: Sequence[Any], chosen: float
) -> None:
    """Lesions lost against false alarms as the threshold of presence moves, and Dice of what is kept by trust."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, shown in lesions.items():
        for kind, absent in without.items():
            levels = np.unique([0.0, *shown, *absent, 1.0])
            lost = [np.mean(np.asarray(shown) < level) for level in levels]
            alarms = [np.mean(np.asarray(absent) >= level) for level in levels]
            (line,) = left.step(lost, alarms, where="post", label=f"{name} ({len(shown)}), {kind} ({len(absent)})")
            at = np.mean(np.asarray(shown) < chosen), np.mean(np.asarray(absent) >= chosen)
            left.plot(*at, "o", color=line.get_color())
    left.axvline(0.03, color="grey", linestyle=":")
    left.axhline(0.10, color="grey", linestyle=":")
    left.set(xlim=(0, 0.4), ylim=(0, 1), xlabel="share of lesions lost", ylabel="share of false alarms")
    left.set_title("Presence: the dots are where the model stands, the dotted lines what is wanted", fontsize=9)
    left.legend(fontsize=7)
    for name in lesions:
        members = [row for row in rows if row["lesions"] and row["dataset"] == name]
        members.sort(key=lambda row: -(row["trust"] or 0.0))
        kept = np.arange(1, len(members) + 1) / len(members)
        right.plot(kept, np.cumsum([row["dice"] for row in members]) / np.arange(1, len(members) + 1), label=name)
    right.set(xlim=(0, 1), xlabel="share of pictures kept, the most trusted first", ylabel="mean Dice of these")
    right.legend(fontsize=8)
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="calibrated model folder")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--dataset-dir", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--by", default="device", help="column of the scanner")
    parser.add_argument("--dataset", default="dataset", help="column of the data set")
    parser.add_argument("--far", type=Path, help="folder of DICOM files of other organs")
    parser.add_argument("--every", type=int, default=3, help="baselines and made pictures from every n-th picture")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--curves", type=Path, help="picture of the curves")
    parser.add_argument("--output", type=Path, help="JSON file of all figures")
    options = parser.parse_args()

    segmenter = LesionSegmenter.from_model(options.bundle)
    if segmenter.trust is None:
        raise InputError(options.bundle, "must carry a calibration", got="none", fix="monai-lesion calibrate")
    trust = segmenter.trust
    manifest = load_manifest(options.manifest, options.dataset_dir, splits=(options.split, "calibration"))
    signal = trust.calibration["signal"]
    pictures = look(
        segmenter,
        manifest,
        options.split,
        by=options.by,
        signal=signal,
        progress=lambda items: bar(items, title="looking"),
    )
    rows = rows_of(pictures, trust)
    for row, entry in zip(rows, manifest.entries(options.split), strict=True):
        row["dataset"] = entry.get(options.dataset, manifest.name)
    figures: dict[str, Any] = {"model": str(segmenter), "split": options.split, "all": report(rows, "all")}
    for name in dict.fromkeys(row["dataset"] for row in rows):
        figures[name] = report([row for row in rows if row["dataset"] == name], name)
    for name in sorted({row["group"] for row in rows} - {""}):
        members = [row for row in rows if row["group"] == name]
        if len(members) >= 20:
            figures[f"scanner {name}"] = report(members, f"scanner {name}")

    print("\npictures made to lack a lesion, from every", options.every)
    lesions = [row["presence"] for row in rows if row["lesions"] and "BUSI" not in str(row["dataset"])]
    made: dict[str, list[float]] = {}
    for kind, found in decided(segmenter, without_lesion(manifest, options.split, options.every)).items():
        made[kind] = [presence for _, presence in found]
        alarms = share_of([decision != "nothing found" for decision, _ in found])
        separation = auc(lesions, made[kind])
        figures[f"made: {kind}"] = {"false_alarms": alarms, "auc_presence": separation}
        print(
            f"  {kind}: false alarms {share_text(alarms)}; AUC of presence against the same pictures {separation:.3f}"
        )

    if options.curves:
        datasets = list(dict.fromkeys(row["dataset"] for row in rows))
        present = {
            name: [row["presence"] for row in rows if row["lesions"] and row["dataset"] == name] for name in datasets
        }
        absent = {"no lesion": [row["presence"] for row in rows if not row["lesions"]], **made}
        draw_curves(options.curves, present, absent, rows, trust.calibration["presence"]["threshold"])

    print("\nfar from the training data: doubtful or nothing found")
    far = decided(segmenter, far_pictures(options.far))
    far["all"] = [each for found in list(far.values()) for each in found]
    for kind, found in far.items():
        kept = share_of([decision != "lesion" for decision, _ in found])
        figures[f"far: {kind}"] = kept
        print(f"  {kind}: {share_text(kept)}")

    if not options.no_baselines:
        print("\nbaselines, on every", options.every, "of the pictures with a lesion")
        figures["baselines"] = baselines(segmenter, manifest, options.split, options.every)
    if options.output:
        options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
