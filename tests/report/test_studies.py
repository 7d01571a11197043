"""What trials left, and what may be compared."""

import json
import shutil

import pytest

from monai_lesion.errors import InputError
from monai_lesion.report.documents import document
from monai_lesion.report.pages import write_report
from monai_lesion.report.studies import load_studies
from tests.report.records import change, make_study


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"manifest": {"path": "x", "file_sha256": "dd" * 32}},
            "a table must have one manifest, got aaaaaaaaaaaa in",
        ),
        ({"spatial_size": [128, 128]}, "a table must have one input resolution, got 64 x 64 in .*, 128 x 128 in"),
    ],
    ids=["manifests", "resolutions"],
)
def test_refuses_to_mix(tmp_path, values, message):
    output = make_study(tmp_path)
    change(output, "trials/lighter-u-net-8/wd0.0001-seed1/run.json", **values)
    with pytest.raises(InputError, match=message):
        write_report([output], cpu_time=False)
    assert not (output / "report").exists()


def test_refuses_to_mix_test_images(tmp_path):
    output = make_study(tmp_path)
    file = next(output.glob("trials/u-net/wd0.0001-seed1/evaluation/per_image.csv"))
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match=r"one set of test images, got 12 images in .*, 11 images in"):
        load_studies([output])


def test_refuses_a_folder_without_trials_and_a_study_without_tests(tmp_path):
    with pytest.raises(InputError, match="must hold the trials of a study, or kept records, got neither"):
        load_studies([tmp_path])
    output = make_study(tmp_path)
    for file in output.glob("trials/*/*/evaluation/per_image.csv"):
        file.unlink()
    with pytest.raises(InputError, match="at least one network must have been tested, got 4 trials without"):
        load_studies([output])


def test_refuses_an_unknown_reference(output, tmp_path):
    with pytest.raises(InputError, match="--reference: must be one of Lighter U-net @8; U-net, got U-Net"):
        write_report([output], tmp_path, reference="U-Net", cpu_time=False)
    with pytest.raises(InputError, match="--reference: must be one of Lighter U-net @8; U-net, got U-Net"):
        document([output], reference="U-Net")


def test_an_evaluation_made_by_hand_is_a_record_too(tmp_path):
    source = make_study(tmp_path / "made", networks=["U-net"], seeds=[0])
    trial = next(source.glob("trials/*/*"))
    (tmp_path / "results" / "one").mkdir(parents=True)
    (trial / "evaluation" / "per_image.csv").rename(tmp_path / "results" / "one" / "per_image.csv")
    summary = {"network": "UNet()", "manifest": "phantoms", "order": "resize_first"}
    (tmp_path / "results" / "one" / "summary.json").write_text(json.dumps(summary))
    assert "| UNet() |" in document([tmp_path / "results"])


def made_folds(root, count=3):
    """A study over folds of three cases each: other images and another manifest in each fold."""
    for number in range(1, count + 1):
        fold = root / "folds" / f"fold{number}"
        fold.parent.mkdir(exist_ok=True)
        make_study(root / f"made{number}", cases=3).rename(fold)
        for file in fold.rglob("per_image.csv"):
            file.write_text(file.read_text().replace("images/0", f"images/{number}"))
        for file in fold.glob("trials/*/*/run.json"):
            place = file.relative_to(fold).as_posix()
            change(
                fold, place, manifest={"path": str(root / f"made{number}" / "m.json"), "file_sha256": str(number) * 64}
            )
    return root / "folds"


def test_folds_of_a_study_are_one_table_over_all_their_images(tmp_path):
    folder = made_folds(tmp_path)
    single = [load_studies([folder / f"fold{number}"])[0] for number in (1, 2, 3)]
    (study,) = load_studies([folder])
    assert study.title == "Made results, 3 folds"
    for entry, trials in study.compared().items():
        assert [trial.seed for trial in trials] == [0, 1]
        for trial in trials:
            assert len(trial.images) == len({row["image"] for row in trial.images}) == 18
            parts = [part for fold in single for part in fold.tested(entry) if part.seed == trial.seed]
            expected = [value for part in parts for value in part.column("dice")]
            assert trial.column("dice").tolist() == pytest.approx(expected)
            assert trial.mask(7).is_file() == parts[1].mask(1).is_file()
            assert "fold2" in str(trial.mask(7))


def test_a_network_that_is_not_tested_on_every_fold_is_left_out(tmp_path):
    folder = made_folds(tmp_path, count=2)
    shutil.rmtree(folder / "fold2" / "trials" / "u-net" / "wd0.0001-seed1" / "evaluation")
    (study,) = load_studies([folder])
    assert {entry: len(trials) for entry, trials in study.compared().items()} == {"U-net": 1, "Lighter U-net @8": 2}
