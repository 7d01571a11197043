"""The part of a document that is made of committed records, and the one of this project."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monai_lesion.commands.app import app
from monai_lesion.errors import InputError
from monai_lesion.report.documents import BEGIN, END, document, write_document
from monai_lesion.report.kept_records import keep_records
from monai_lesion.report.studies import load_studies
from tests.report.records import make_study, sections

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_results_of_this_project_are_what_the_records_give():
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    told = text.split(BEGIN)[1].split(END)[0]
    made = f"\n{document([ROOT / 'results'])}"
    assert told == made, "run: monai-lesion study report results --page docs/results.md"


@pytest.mark.slow
def test_two_budgets_stand_apart_and_each_is_told(kept):
    found = sections(document([kept]))
    assert list(found) == ["The large one", "The small one", "Where the numbers come from"]
    for title, size in (("The large one", "256 x 256"), ("The small one", "64 x 64")):
        told = found[title].split("\n|")[0]
        for fact in (
            f"Network input: {size} pixels.",
            "Epochs: 2 of at most 2",
            "2 seeds each.",
            "Machine: A Processor, 2 threads.",
            "Precision: bfloat16, channels-last.",
        ):
            assert fact in told
        assert f"GFLOP at {size}" in found[title]
        at_a_glance, folded = found[title].split("<details")[:2]
        assert at_a_glance.count("| U-net |") == folded.split("</details>")[0].count("| U-net |") == 1
        assert max(line.count("|") for line in found[title].splitlines()) <= 12
        assert "Difference from U-net" in found[title]
        assert "paper, other data" in found[title]
        assert "95 % HD (MONAI), px" in found[title]


def test_records_of_a_study_cut_short_say_what_is_missing(tmp_path):
    output = make_study(tmp_path)
    for file in output.glob("trials/u-net/*/evaluation/per_image.csv"):
        file.unlink()
    next(output.glob("trials/lighter-u-net-8/wd0.0001-seed1/evaluation/per_image.csv")).unlink()
    keep_records(load_studies([output]), tmp_path / "results")
    text = sections(document([tmp_path / "results"]))["Made results"]
    assert "One seed." in text
    assert "Not tested yet: U-net. Fewer seeds than planned: Lighter U-net @8." in text


def test_only_what_stands_between_the_marks_is_replaced(kept, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Mine\n{BEGIN}\nold\n{END}\n## Notes\nby hand\n")
    result = CliRunner().invoke(app, ["study", "report", str(kept), "--page", str(page)])
    assert result.exit_code == 0, result.exception
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# Mine\n{BEGIN}\n## The large one\n")
    assert text.endswith(f"{END}\n## Notes\nby hand\n")
    assert "\nold\n" not in text
    write_document([kept], page)
    assert page.read_text(encoding="utf-8") == text
    assert not (kept / "report").exists()


@pytest.mark.parametrize("text", ["no marks\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"], ids=repr)
def test_refuses_a_document_without_its_marks(kept, tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(InputError, match=r"page\.md: must have a beginning and an end of what is generated"):
        write_document([kept], page)
    assert page.read_text() == text


def test_refuses_a_page_beside_another_output(kept, tmp_path):
    words = ["study", "report", str(kept), "--page", str(tmp_path / "page.md"), "--output", str(tmp_path)]
    assert "--page: cannot be combined with" in str(CliRunner().invoke(app, words).exception)


def test_a_training_that_was_no_study_takes_its_facts_from_a_few_lines(tmp_path):
    output = make_study(tmp_path / "made", networks=["U-net"], seeds=[0])
    (source,) = output.glob("trials/*/*")
    folder = tmp_path / "results" / "by_hand"
    folder.mkdir(parents=True)
    (source / "evaluation" / "per_image.csv").rename(folder / "per_image.csv")
    group = {"n": 6, "missed": 1, "false_alarms": 0}
    group |= {key: {"mean": 0.5, "std": 0.1, "q25": 0.4, "median": 0.5, "q75": None} for key in ("dice", "hd95")}
    group["hd95_monai"] = group["hd95"]
    summary = {"network": "UNet()", "manifest": "made", **group, "by": {"kind": {"benign": group}}}
    (folder / "summary.json").write_text(json.dumps(summary))
    facts = {
        "entry": "Pocket",
        "pretrained": "simulated cases",
        "spatial_size": [96, 96],
        "epochs": 120,
        "by_hand": True,
        "kept": {"title": "One"},
    }
    (folder / "run.json").write_text(json.dumps(facts))
    text = sections(document([tmp_path / "results"]))["One"]
    assert "Data: made. Network input: 96 x 96 pixels. Epochs: 120. One seed." in text
    assert "noted by hand" in text
    assert "Trained further from the weights of an earlier training: Pocket." in text
    assert "from scratch" not in text
    assert "| Pocket |" in text
    assert "| kind: benign | 6 | 0.500 ± 0.100 | 0.500 (0.400 to -) |" in text


def test_a_document_that_is_not_there_is_not_made(kept, tmp_path):
    with pytest.raises(InputError, match="must be a readable document, got no such file"):
        write_document([kept], tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()


def test_an_unknown_reference_leaves_the_document_as_it_was(output, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\nold\n{END}\n")
    with pytest.raises(InputError, match="--reference"):
        write_document([output], page, reference="U-Net")
    assert "old" in page.read_text()
