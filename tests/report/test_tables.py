"""Tables as LaTeX."""

from monai_lesion.report.tables import Table


def test_latex_escapes_what_it_must():
    text = Table("100 %", ["network", "a_b"], [["U-net @1 & 2", "0.9 ± 0.1"]]).latex()
    assert r"U-net @1 \& 2 & 0.9 $\pm$ 0.1 \\" in text
    assert r"\caption{100 \%.}" in text
    assert r"network & a\_b \\" in text
