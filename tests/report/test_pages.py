"""The page: what it shows, and that it needs nothing else."""

import base64
import subprocess
from html.parser import HTMLParser

import pytest

from monai_lesion.report.pages import write_report
from tests.report.records import change, make_study, read_table


class Resources(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href")]


def test_the_page_needs_nothing_else_and_says_what_it_is(page):
    text = page.read_text(encoding="utf-8")
    parser = Resources()
    parser.feed(text)
    assert all(link.startswith("data:image/") for link in parser.links)
    assert not {"script", "link", "iframe"} & set(parser.tags)
    assert "url(" not in text
    assert "Research use only; not a medical device" in text
    assert "another data set, no comparison" in text
    assert "trained from scratch" in text
    for link in parser.links:
        kind, data = link.split(";base64,")
        start = base64.b64decode(data)[:5]
        assert start.startswith(b"<?xml" if "svg" in kind else b"\xff\xd8\xff")


@pytest.mark.usefixtures("no_plots")
def test_a_second_report_is_the_same(output, page, tmp_path):
    again = write_report([output], tmp_path, cpu_time=False)
    for file in sorted((page.parent / "tables").iterdir()):
        assert (again.parent / "tables" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.usefixtures("no_plots")
def test_an_unfinished_study_says_what_is_missing(tmp_path):
    output = make_study(tmp_path)
    for file in output.glob("trials/lighter-u-net-8/*/evaluation/per_image.csv"):
        file.unlink()
    next(output.glob("trials/u-net/wd0.0001-seed1/evaluation/per_image.csv")).unlink()
    change(output, "trials/lighter-u-net-8/wd0.0001-seed0/run.json", state="failed", error="OSError: disk full")
    page = write_report([output], cpu_time=False)
    assert page == output / "report" / "index.html"
    text = page.read_text(encoding="utf-8")
    assert "Not tested yet: Lighter U-net @8." in text
    assert "Fewer seeds than planned: U-net." in text
    assert read_table(page, "made_results")[0]["seeds"] == "1 of 2"
    assert read_table(page, "failed_trials")[0]["error"] == "OSError: disk full"


def test_latex_compiles(page, tmp_path):
    programs = {"tectonic": [], "pdflatex": ["-interaction=nonstopmode", "-halt-on-error"]}
    from shutil import which

    program = next((name for name in programs if which(name)), None)
    if program is None:
        pytest.skip("no LaTeX on this machine")
    body = "\n".join(path.read_text() for path in sorted((page.parent / "tables").glob("*.tex")))
    text = f"\\documentclass{{article}}\\usepackage{{booktabs,graphicx}}\\begin{{document}}\n{body}\\end{{document}}"
    (tmp_path / "all.tex").write_text(text)
    subprocess.run([program, *programs[program], "all.tex"], cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.usefixtures("no_plots")
def test_what_records_hold_stays_text(tmp_path):
    hostile = "<script>alert('x')</script>"
    networks = ["U-net", {"network": "Lighter U-net @8", "name": f"{hostile} @8"}]
    output = make_study(tmp_path, networks=networks, title=f"{hostile} title")
    for file in output.glob("trials/*/*/evaluation/per_image.csv"):
        file.write_text(file.read_text().replace(",05,", f",{hostile} case,"))
    text = write_report([output], cpu_time=False).read_text(encoding="utf-8")
    parser = Resources()
    parser.feed(text)
    assert "script" not in parser.tags
    told = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"
    for kind in ("@8", "title", "case"):
        assert f"{told} {kind}" in text
