"""What a notebook shows of a result: the picture with the outline, and the sizes beside it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lesion.errors import InputError
from monai_lesion.images.overlays import draw_overlay
from monai_lesion.measures.sizes import Measurements

SIDE = 480  # pixels of the longer side of the picture in a notebook


def html_of(pixels: NDArray[np.uint8], mask: NDArray[np.uint8], title: str, lines: Mapping[str, object]) -> str:
    """The picture with the outline and a table, as one piece of HTML without a link to anything.

    Args:
        pixels: the picture.
        mask: the lesion.
        title: above the table.
        lines: what the table says.

    Shape:
        - pixels: ``(H, W, 3)`` uint8
        - mask: ``(H, W)``
    """
    from PIL import Image

    picture, stream = Image.fromarray(draw_overlay(pixels, pred=mask)), BytesIO()
    picture.thumbnail((SIDE, SIDE))
    picture.save(stream, "PNG")
    source = f"data:image/png;base64,{b64encode(stream.getvalue()).decode('ascii')}"
    rows = "".join(f"<tr><th>{escape(key)}</th><td>{escape(str(value))}</td></tr>" for key, value in lines.items())
    return (
        f'<div style="display:flex;flex-wrap:wrap;gap:1em"><img src="{source}" alt="{escape(title)} with the outline">'
        f"<table><caption>{escape(title)}</caption>{rows}</table></div>"
    )


def plot(
    pixels: NDArray[np.uint8], mask: NDArray[np.uint8], title: str, sizes: Measurements, *, axes: Any = None
) -> Any:
    """Draw the picture, the outline and both axes of the lesion.

    Args:
        pixels: the picture.
        mask: the lesion.
        title: above the picture.
        sizes: where the axes of the lesion are.
        axes: Matplotlib's axes to draw on; None makes some.

    Shape:
        - pixels: ``(H, W, 3)`` uint8
        - mask: ``(H, W)``

    Returns:
        Matplotlib's axes.

    Raises:
        InputError: without Matplotlib.
    """
    if axes is None:
        try:
            from matplotlib import pyplot
        except ImportError as error:
            fix = "pip install 'monai-lesion[study]'"
            raise InputError("plot", "needs Matplotlib", got="no such package", fix=fix) from error
        axes = pyplot.subplots()[1]
    axes.imshow(draw_overlay(pixels, pred=mask))
    if sizes:
        for ends, colour in ((sizes.long_axis_ends, "gold"), (sizes.short_axis_ends, "deepskyblue")):
            axes.plot([column for _, column in ends], [row for row, _ in ends], color=colour, linewidth=1)
    axes.set_title(title, fontsize="small")
    axes.set_axis_off()
    return axes
