"""The comparison of calipers as a part of a document."""

from monai_lesion.report.calipers import write_comparison
from monai_lesion.report.documents import document
from tests.report.records import sections


def test_a_comparison_of_calipers_has_a_section_of_its_own(kept):
    rows = []
    for number in range(6):
        for variant, dice in (("original", 0.9), ("removed", 0.8), ("moved", 0.7), ("control", 0.9)):
            scores = {"dice": dice - number / 100, "hd95": 10.0, "hd95_monai": 11.0, "missed": 0, "false_alarm": 0}
            about = {"case_id": str(number), "view": "l", "image": f"{number}.png", "markers": 2}
            rows.append({**about, "moved_rows": 1, "moved_columns": 2, "variant": variant, **scores})
    table = write_comparison(rows, kept / "calipers", {"network": "Mine", "split": "test"})
    text = sections(document([kept]))["Calipers: Mine"]
    assert table in text
    assert "network Mine, split test." in text
