"""BUS-BRA's CSV files to manifests, against the files read by hand."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from monai_lesion.datasets.busbra import busbra
from monai_lesion.datasets.entries import SPLITS
from monai_lesion.datasets.manifests import write_manifest
from monai_lesion.datasets.splits import DEALT
from monai_lesion.errors import InputError
from tests.shared_data import ABSENT, BUSBRA

MANIFESTS = Path(__file__).parents[2] / "data_manifests"
needs_busbra = pytest.mark.skipif(not BUSBRA.is_dir(), reason=ABSENT)


def rows(name: str) -> list[dict[str, str]]:
    with (BUSBRA / name).open(newline="") as file:
        return list(csv.DictReader(file))


def identity(entry: dict[str, Any]) -> str:
    return Path(entry["image"]).stem


@needs_busbra
def test_busbra_follows_the_official_folds() -> None:
    content = busbra(BUSBRA)
    fold = {row["ID"]: int(row["kFold"]) for row in rows("5-fold-cv.csv")}
    for name, folds in zip(DEALT, ((1, 2, 3), (4,), (5,)), strict=True):
        assert sorted(map(identity, content[name])) == sorted(key for key, number in fold.items() if number in folds)
    assert sum(len(content[name]) for name in DEALT) == 1875


@needs_busbra
def test_busbra_keeps_the_columns_and_both_views_together() -> None:
    content = busbra(BUSBRA)
    table = {row["ID"]: row for row in rows("bus_data.csv")}
    splits = defaultdict(set)
    for name in DEALT:
        for entry in content[name]:
            row = table[identity(entry)]
            assert (entry["device"], entry["pathology"], entry["side"]) == (
                row["Device"],
                row["Pathology"],
                row["Side"],
            )
            assert (entry["histology"], entry["birads"]) == (row["Histology"], row["BIRADS"])
            assert int(entry["case_id"]) == int(row["Case"])
            assert entry["label"] == entry["image"].replace("Images/bus_", "Masks/mask_")
            splits[row["Case"]].add(name)
    assert len(splits) == 1064
    assert all(len(names) == 1 for names in splits.values())


@needs_busbra
def test_busbra_dev_tests_on_fold_4_and_never_sees_fold_5() -> None:
    content = busbra(BUSBRA, dev=True)
    fold = {row["ID"]: int(row["kFold"]) for row in rows("5-fold-cv.csv")}
    assert sorted(map(identity, content["test"])) == sorted(key for key, number in fold.items() if number == 4)
    rest = [*content["training"], *content["validation"], *content["calibration"]]
    assert sorted(map(identity, rest)) == sorted(key for key, number in fold.items() if number <= 3)
    cases = {name: {entry["case_id"] for entry in content[name]} for name in SPLITS}
    assert len(set.union(*cases.values())) == sum(map(len, cases.values()))
    everyone = {entry["case_id"] for entry in rest}
    for name, pool in (("validation", everyone), ("calibration", everyone - cases["validation"])):
        assert len(cases[name]) == round(0.15 * len(pool))
        for column in ("pathology", "device"):
            value = {entry["case_id"]: entry[column] for entry in reversed(rest)}
            total = Counter(value[case] for case in pool)
            share = Counter(value[case] for case in cases[name])
            assert all(abs(share[key] - 0.15 * total[key]) <= 2 for key in total)


@needs_busbra
@pytest.mark.parametrize(("name", "dev"), [("busbra", False), ("busbra_dev", True)])
def test_committed_busbra_manifest_is_what_the_importer_makes(name: str, dev: bool, tmp_path: Path) -> None:
    made = write_manifest(busbra(BUSBRA, dev=dev), tmp_path / "m.json")
    assert made.read_bytes() == (MANIFESTS / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", ["busbra", "busbra_dev"])
def test_committed_busbra_manifest_cites_its_source(name: str) -> None:
    content = json.loads((MANIFESTS / f"{name}.json").read_text(encoding="utf-8"))
    for author in ("Gómez-Flores", "Gregorio-Calas", "Pereira", "Medical Physics"):
        assert author in content["reference"]
    assert "LICENSE.txt" in content["licence"]


def fake_busbra(folder: Path, table: str, folds: str) -> Path:
    (folder / "bus_data.csv").write_text(f"ID,Case,Histology,Pathology,BIRADS,Device,Side\n{table}")
    (folder / "5-fold-cv.csv").write_text(f"ID,kFold\n{folds}")
    return folder


@pytest.mark.parametrize(
    ("table", "folds", "message"),
    [
        ("bus_1-l,1,h,p,4,d,left\n", "", "must give each image a fold from 1 to 5, got none for bus_1-l"),
        ("bus_1-l,1,h,p,4,d,left\n", "bus_1-l,6\n", "must give each image a fold from 1 to 5, got 6 for bus_1-l"),
        ("bus_1,1,h,p,4,d,left\n", "bus_1,1\n", "each ID must be a case and l, r or s, .*, got bus_1"),
    ],
    ids=["no fold", "fold 6", "no view"],
)
def test_damaged_busbra_is_refused(table: str, folds: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        busbra(fake_busbra(tmp_path, table, folds))


def test_wrong_folder_for_busbra_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"5-fold-cv\.csv: must be a CSV file, got no file\. Name the folder of BUS-BRA"
    ):
        busbra(tmp_path)
    fake_busbra(tmp_path, "", "")
    (tmp_path / "bus_data.csv").write_text("a,b\n")
    with pytest.raises(
        InputError, match=r"bus_data\.csv: must have the column ID, got a, b\. Name the folder of BUS-BRA"
    ):
        busbra(tmp_path)
