"""Run an archive in this process, and read its table."""

from __future__ import annotations

import pyarrow.parquet

from monai_lesion.archive.jobs import Network
from monai_lesion.archive.runs import Choices, run_archive

CLOCK = ("milliseconds",)


def run(sources, output, model, **options):
    parts = {key: options.pop(key) for key in list(options) if key in Choices.__dataclass_fields__}
    names = (str(sources),) if not isinstance(sources, tuple) else tuple(map(str, sources))
    return run_archive(
        Choices(names, **parts), output, Network(str(model)), **{"workers": 0, "progress": False, **options}
    )


def table(output, *, clock=False):
    """All rows in order; without what no two runs have alike."""
    files = sorted((output / "rows").glob("*/*.parquet"))
    rows = [row for file in files for row in pyarrow.parquet.ParquetFile(file).read().to_pylist()]
    return [{key: value for key, value in row.items() if clock or key not in CLOCK} for row in rows]
