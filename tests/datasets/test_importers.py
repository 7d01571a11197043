"""Folders and BUS-BRA's CSV files to manifests; splits counted independently."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from monai_lesion.datasets.importers import busbra, create_manifest, scan_folder
from monai_lesion.datasets.manifests import SPLITS, load_manifest, write_manifest
from monai_lesion.datasets.splits import DEALT, assign_splits, deal, set_aside, split_sizes
from monai_lesion.errors import InputError
from tests.shared_data import ABSENT, BUSBRA

MANIFESTS = Path(__file__).parents[2] / "data_manifests"
needs_busbra = pytest.mark.skipif(not BUSBRA.is_dir(), reason=ABSENT)


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)  # no two alike
    return folder


def test_pattern_gives_case_view_patient_and_columns(tmp_path: Path) -> None:
    names = ("P1/0002_front_GE.png", "P1/0002_side_GE.png", "P2/0001_front_Philips.png")
    touch(tmp_path, *(f"images/{name}" for name in names), *(f"masks/{name}" for name in names), "images/notes.txt")
    pattern = "{patient}/{case}_{view}_{device}.png"
    entries = scan_folder(tmp_path, f"images/{pattern}", f"masks/{pattern}")
    assert entries[0] == {
        "case_id": "0002",
        "view": "front",
        "image": "images/P1/0002_front_GE.png",
        "label": "masks/P1/0002_front_GE.png",
        "patient_id": "P1",
        "device": "GE",
    }
    assert [entry["case_id"] for entry in entries] == ["0002", "0002", "0001"]
    assert list(entries[0])[:4] == ["case_id", "view", "image", "label"]


def test_star_is_any_text_within_a_folder_and_view_may_be_absent(tmp_path: Path) -> None:
    touch(tmp_path, "a/7_2020-01.png", "a/8_x.png", "b/7.nii.gz", "b/8.nii.gz", "a/deep/9_x.png")
    entries = scan_folder(tmp_path, "*/{case}_*.png", "b/{case}.nii.gz")
    assert [(entry["case_id"], entry["view"], entry["label"]) for entry in entries] == [
        ("7", "single", "b/7.nii.gz"),
        ("8", "single", "b/8.nii.gz"),
    ]


def test_word_used_twice_must_be_the_same_twice(tmp_path: Path) -> None:
    touch(tmp_path, "1/1_a.png", "2/1_b.png", "m/1.png")
    assert [entry["image"] for entry in scan_folder(tmp_path, "{case}/{case}_{view}.png", "m/{case}.png")] == [
        "1/1_a.png"
    ]


def test_labels_beside_their_images_are_no_images(tmp_path: Path) -> None:
    touch(tmp_path, "benign (1).png", "benign (1)_mask.png", "benign (2).png", "benign (2)_mask.png")
    entries = scan_folder(tmp_path, "{case}.png", "{case}_mask.png")
    assert [entry["image"] for entry in entries] == ["benign (1).png", "benign (2).png"]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ("{view}.png", "{view}.png", r"images: the pattern must hold \{case\}, got \{view\}\.png"),
        ("{case.png", "{case}.png", r"images: the pattern must hold \{case\}"),
        ("{case}_{label}.png", "m/{case}.png", r"images: the pattern cannot hold \{label\}"),
        ("{case}.png", "m/{case}_{view}.png", r"labels: the pattern may hold \{case\} and no \*"),
        ("{case}.png", "m/{case}*.png", r"labels: the pattern may hold \{case\} and no \*"),
        ("{case}.png", "{case}.png", "labels: the pattern must not give the image itself"),
        ("{case}.jpg", "m/{case}.png", r"must hold files named \{case\}\.jpg, got none"),
        ("{case}.png", "m/{case}.png", r"each image must have a label, got no file m/3\.png of 3\.png"),
    ],
    ids=["no case", "open brace", "own word", "unknown word", "star", "itself", "no image", "no label"],
)
def test_wrong_pattern_is_refused(images: str, labels: str, message: str, tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.png", "3.png", "m/1.png", "m/2.png", "unlike_x.gif")
    with pytest.raises(InputError, match=message):
        scan_folder(tmp_path, images, labels)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be the folder of the data, got no folder"):
        scan_folder(tmp_path / "gone", "{case}.png", "m/{case}.png")


def test_many_missing_labels_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number:02}.png" for number in range(13)))
    with pytest.raises(InputError, match=r"no file m/00\.png of .* and 3 more"):
        scan_folder(tmp_path, "{case}.png", "m/{case}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 cases of 10 patients, two views each; a table tells the pathology."""
    names = [f"p{case // 2}/{case:02}_{view}.png" for case in range(20) for view in ("front", "side")]
    touch(tmp_path, *(f"i/{name}" for name in names), *(f"m/{name}" for name in names))
    rows = [
        "case_id,pathology,age",
        *(f"{case:02},{'malignant' if case % 4 < 2 else 'benign'},50" for case in range(20)),
    ]
    (tmp_path / "table.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    return tmp_path


PATTERN = "{patient}/{case}_{view}.png"


def make(folder: Path, **options: Any) -> dict[str, Any]:
    return create_manifest(folder, f"i/{PATTERN}", f"m/{PATTERN}", **options)


@pytest.mark.parametrize(
    ("split", "patients"),
    [((0.6, 0.2, 0.2), (6, 2, 2)), ((5, 3, 2), (5, 3, 2)), ((4, 1, 1), (4, 1, 1)), ((1, 0, 0), (10, 0, 0))],
    ids=["ratios", "counts", "fewer", "all"],
)
def test_split_is_by_patient_and_exact(split: tuple[float, ...], patients: tuple[int, ...], folder: Path) -> None:
    content = make(folder, split=split)
    assert content["name"] == folder.name
    for name, number in zip(DEALT, patients, strict=True):
        assert len({entry["patient_id"] for entry in content[name]}) == number
        assert len(content[name]) == number * 4  # all cases and views of each
    everyone = [entry["patient_id"] for name in DEALT for entry in content[name]]
    assert set(Counter(everyone).values()) == {4}


def test_split_depends_on_the_seed_alone(folder: Path) -> None:
    assert make(folder, seed=3) == make(folder, seed=3)
    assert make(folder, seed=3) != make(folder, seed=4)


def test_table_adds_columns_and_strata_are_spread(folder: Path) -> None:
    # The patients are malignant and benign in turn.
    content = make(folder, split=(6, 2, 2), table=folder / "table.csv", stratify=["pathology"])
    for name, number in zip(DEALT, (3, 1, 1), strict=True):
        patients = {entry["patient_id"]: entry["pathology"] for entry in content[name]}
        assert Counter(patients.values()) == {"malignant": number, "benign": number}
    assert content["training"][0]["age"] == "50"


def test_created_manifest_passes_its_own_loader(folder: Path) -> None:
    content = make(folder, licence="CC0", reference="nobody")
    manifest = load_manifest(write_manifest(content, folder / "m.json"), labels=False)
    assert manifest.licence == "CC0"
    assert len(manifest.entries("training")) == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stratify": ["centre"]}, "stratify: must name columns of the entries: case_id, view, .*, got centre"),
        ({"split": (8, 2, 2)}, r"split sizes: must sum to at most 10 groups, got \(8, 2, 2\)"),
        ({"split": (0.5, 0.2, 0.2)}, "split: must be three whole numbers, or three shares that sum to 1"),
        ({"split": (0.5, 0.5)}, "split: must be three numbers"),
        ({"split": (12, -1, -1)}, "split: must be three numbers"),
        ({"table": "gone.csv"}, "must be a CSV file, got no file"),
        ({"table": "table.csv", "key": "patient_id"}, "must have the column patient_id, got case_id, pathology, age"),
        ({"table": "short.csv"}, "must have a row for each case_id, got none for 01"),
        ({"table": "double.csv"}, "must have one row for each case_id, got two that differ for 00"),
        ({"table": "ragged.csv"}, "each line must have as many values as there are columns"),
        ({"table": "latin.csv"}, "must be a CSV file in UTF-8"),
    ],
    ids=["stratum", "too many", "ratios", "two", "negative", "absent", "column", "row", "double", "ragged", "latin"],
)
def test_arguments_that_do_not_fit_are_refused(options: dict[str, Any], message: str, folder: Path) -> None:
    (folder / "short.csv").write_text("case_id,age\n00,1\n")
    (folder / "double.csv").write_text("case_id,age\n00,1\n00,2\n")
    (folder / "ragged.csv").write_text("case_id,age\n00\n")
    (folder / "latin.csv").write_bytes("case_id,name\n00,Gómez\n".encode("latin-1"))
    if "table" in options:
        options = {**options, "table": folder / options["table"]}
    with pytest.raises(InputError, match=message):
        make(folder, **options)


def test_each_stratum_gets_its_share_within_one_group() -> None:
    strata = {f"{number:03}": "abbcccc"[number % 7] for number in range(348)}
    sizes = [208, 70, 70]
    dealt = assign_splits(strata, sizes, seed=1)
    assert [sum(split == number for split in dealt.values()) for number in range(3)] == sizes
    for stratum, total in Counter(strata.values()).items():
        for number, size in enumerate(sizes):
            found = sum(dealt[group] == number for group in strata if strata[group] == stratum)
            assert abs(found - total * size / 348) <= 1


def test_seed_moves_groups_and_their_order_does_not() -> None:
    strata = {str(number): "" for number in range(50)}
    backwards = dict(reversed(strata.items()))
    assert assign_splits(strata, [30, 10, 10], seed=0) == assign_splits(backwards, [30, 10, 10], seed=0)
    assert assign_splits(strata, [30, 10, 10], seed=0) != assign_splits(strata, [30, 10, 10], seed=1)


@pytest.mark.parametrize(
    ("split", "groups", "sizes"),
    [
        ((0.6, 0.2, 0.2), 348, [209, 70, 69]),
        ((208, 70, 70), 348, [208, 70, 70]),
        ((0.5, 0.25, 0.25), 3, [1, 1, 1]),
        ((1, 0, 0), 7, [7, 0, 0]),
        ((0.7, 0.3, 0), 10, [7, 3, 0]),
    ],
)
def test_ratios_become_sizes_that_add_up(split: tuple[float, ...], groups: int, sizes: list[int]) -> None:
    assert split_sizes(split, groups) == sizes


def test_dealing_needs_no_patient_and_keeps_the_order() -> None:
    entries = [{"case_id": str(case), "view": view} for case in range(6) for view in "ab"]
    lists = deal(entries, (3, 2, 1), seed=0)
    assert [len(lists[name]) for name in DEALT] == [6, 4, 2]
    for name in DEALT:
        assert lists[name] == [entry for entry in entries if entry in lists[name]]


def test_calibration_takes_its_share_of_the_training_patients_only(folder: Path) -> None:
    before, after = make(folder), make(folder, calibration=0.5, table=folder / "table.csv", stratify=["pathology"])
    assert "calibration" not in before
    assert [len(after[name]) for name in SPLITS] == [12, 8, 8, 12]
    found = {name: {entry["patient_id"]: entry["pathology"] for entry in after[name]} for name in SPLITS}
    assert len({patient for patients in found.values() for patient in patients}) == 10
    assert sorted(Counter(found["calibration"].values()).values()) == [1, 2]


def test_set_aside_keeps_the_order_and_leaves_the_rest_as_it_was() -> None:
    entries = [{"case_id": str(case), "view": view} for case in range(20) for view in "ab"]
    stays, aside = set_aside(entries, 0.15, seed=0)
    assert len(aside) == 6
    assert [entry for entry in entries if entry in aside] == aside
    assert [entry for entry in entries if entry not in aside] == stays
    assert set_aside(entries, 0, seed=0) == (entries, [])
    for share in (1, -0.1):
        with pytest.raises(InputError, match="share set aside: must be at least 0 and below 1, got"):
            set_aside(entries, share, seed=0)


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


def test_cases_of_two_patients_with_one_name_stay_two_cases(tmp_path: Path) -> None:
    for patient in ("P1", "P2", "P3"):
        for case in ("lesion1", f"only{patient}"):
            (tmp_path / patient / case).mkdir(parents=True)
            for name in ("front.png", "front_mask.png"):
                (tmp_path / patient / case / name).write_bytes(b"x")
    entries = scan_folder(tmp_path, "{patient}/{case}/{view}.png", "{patient}/{case}/{view}_mask.png")
    cases = {entry["case_id"] for entry in entries}
    assert cases == {"P1/lesion1", "P2/lesion1", "P3/lesion1", "onlyP1", "onlyP2", "onlyP3"}
