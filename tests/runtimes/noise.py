"""A manifest of noise."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image


def noise_manifest(folder, **counts):
    """Pictures of noise, each with a brighter lesion."""
    draw, content = np.random.default_rng(0), {}
    for split, count in counts.items():
        content[split] = []
        for number in range(count):
            pixels, mask = draw.integers(0, 120, (40, 50, 3), dtype=np.uint8), np.zeros((40, 50), np.uint8)
            top, left = draw.integers(0, 20, 2)
            mask[top : top + 15, left : left + 20] = 255
            pixels[mask > 0] += 100
            name = f"{split}{number}"
            Image.fromarray(pixels).save(folder / f"{name}.png")
            Image.fromarray(mask).save(folder / f"{name}_mask.png")
            entry = {"case_id": name, "view": "front", "image": f"{name}.png", "label": f"{name}_mask.png"}
            content[split].append(entry)
    (folder / "manifest.json").write_text(json.dumps({"name": "noise", **content}))
    return folder / "manifest.json"
