"""BUS-BRA, breast ultrasound with its official folds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_lesion.datasets.entries import Entry
from monai_lesion.datasets.splits import DEALT, set_aside
from monai_lesion.datasets.tables import table_rows
from monai_lesion.errors import InputError

_COLUMNS = ("ID", "Case", "Histology", "Pathology", "BIRADS", "Device", "Side")
_FIX = "Name the folder of BUS-BRA, with bus_data.csv and 5-fold-cv.csv"


def busbra(csv_dir: str | Path, *, dev: bool = False, seed: int = 0) -> dict[str, Any]:
    """Make the manifest for BUS-BRA from its official CSV files.

    Args:
        csv_dir: folder with ``bus_data.csv`` and ``5-fold-cv.csv``; paths in the manifest start from it.
        dev: False for folds 1-3 / 4 / 5; True for test = fold 4, validation = 15 % of the cases of folds 1-3,
            calibration = 15 % of the others, both stratified by pathology and device, training = the rest.
        seed: random seed that chooses the validation and calibration cases with ``dev``.

    Raises:
        InputError: when a CSV file is missing, or an image has no fold.

    Source:
        Gomez-Flores, Gregorio-Calas, Pereira: BUS-BRA, Medical Physics 2024, https://doi.org/10.5281/zenodo.8231412.
    """
    table, folds = Path(csv_dir) / "bus_data.csv", Path(csv_dir) / "5-fold-cv.csv"
    fold_of = {row["ID"]: row["kFold"] for row in table_rows(folds, ["ID", "kFold"], _FIX)}
    lists: dict[str, list[Entry]] = {split: [] for split in DEALT}
    for row in table_rows(table, _COLUMNS, _FIX):
        fold = fold_of.get(row["ID"], "")
        if fold not in ("1", "2", "3", "4", "5"):
            raise InputError(folds, "must give each image a fold from 1 to 5", got=f"{fold or 'none'} for {row['ID']}")
        name = row["ID"].removeprefix("bus_")
        case, _, view = name.rpartition("-")
        if view not in ("l", "r", "s") or not case:
            raise InputError(table, "each ID must be a case and l, r or s, such as bus_0001-l", got=row["ID"])
        entry = {
            "case_id": case,
            "view": view,
            "image": f"Images/bus_{name}.png",
            "label": f"Masks/mask_{name}.png",
            "pathology": row["Pathology"],
            "device": row["Device"],
            "histology": row["Histology"],
            "birads": row["BIRADS"],
            "side": row["Side"],
            "fold": int(fold),
        }
        if int(fold) <= 3:
            lists["training"].append(entry)
        elif int(fold) == 4:
            lists["test" if dev else "validation"].append(entry)
        elif not dev:
            lists["test"].append(entry)
    if dev:
        for split in ("validation", "calibration"):
            lists["training"], lists[split] = set_aside(
                lists["training"], 0.15, seed=seed, stratify=("pathology", "device")
            )
    names = "Training / validation / test / calibration" if dev else "Training / validation / test"
    parts = "the rest of folds 1-3 / 15 % of their cases / fold 4 / 15 % of the others" if dev else "folds 1-3 / 4 / 5"
    about = f"Breast ultrasound, mostly two views of a biopsied lesion. {names}:"
    return {
        "name": "BUS-BRA (development)" if dev else "BUS-BRA",
        "description": f"{about} {parts}",
        "licence": "Use and redistribution with the notice of LICENSE.txt and citation of the reference",
        "reference": "W. Gómez-Flores, M. J. Gregorio-Calas, W. C. de Albuquerque Pereira, BUS-BRA: A breast "
        "ultrasound dataset for assessing computer-aided diagnosis systems, Medical Physics 51 (2024), "
        "doi:10.1002/mp.16812",
        "labels": {"1": "lesion"},
        **lists,
    }
