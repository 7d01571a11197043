"""The scripts in `benchmarks/` that limit and measure the machine."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_a_limited_process_has_no_avx512():
    """PyTorch itself says which instructions it uses."""
    ask = [sys.executable, "-c", "import torch; print(torch.backends.cpu.get_cpu_capability())"]
    limited = [sys.executable, str(SCRIPTS / "older_processor.py"), *ask]
    free, told = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() for command in (ask, limited)
    )
    assert told == ("AVX2" if free == "AVX512" else free)


@pytest.mark.slow
def test_the_fakes_of_the_attacks_are_as_their_caller_takes_them(tmp_path, monkeypatch):
    """A stale fake makes every try look as if it was not survived."""
    pytest.importorskip("highdicom", reason="the writers need highdicom")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import attack_peers

    rows = attack_peers.web_rows(3, attack_peers.planted(tmp_path))
    for _ in range(4):
        name, tries, survived = next(rows)
        assert survived == tries, name


def entries(**views):
    return [
        {"case_id": case, "view": view, "image": f"{case}-{view}.png", "label": "mask.png"}
        for case, each in views.items()
        for view in each
    ]


def test_the_price_of_a_leak_is_that_of_the_other_view_alone(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import leaks

    content = {
        "name": "some",
        "training": entries(a="lr", b="lr", c="l"),
        "validation": entries(v="lr"),
        "test": entries(x="lr", y="lr", z="l"),
    }
    apart, leaked = leaks.split_twice(content).values()
    assert [apart[key] for key in ("test", "validation")] == [leaked[key] for key in ("test", "validation")]
    tested = {entry["image"] for entry in apart["test"]}
    train, leaky = ({entry["image"] for entry in each["training"]} for each in (apart, leaked))
    assert len(train) == len(leaky) == 5
    assert train == {entry["image"] for entry in content["training"]}
    assert leaky - train == {entry["image"] for entry in content["test"]} - tested - {"z-l.png"}
    assert sorted(image[0] for image in tested) == ["x", "y"]
    for each in (apart, leaked):  # a manifest whose cases are in two lists would be refused
        leaks.write_manifest(each, tmp_path / "one.json")
        leaks.read_manifest(tmp_path / "one.json")


def test_a_leak_has_no_price_without_cases_of_two_views(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import leaks

    with pytest.raises(leaks.InputError, match="must have cases of two views to test"):
        leaks.split_twice({"name": "some", "training": entries(a="l"), "validation": [], "test": entries(x="l")})


def test_the_difference_of_two_splits_is_counted_by_picture(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import leaks

    def write(split, **dice):
        file = tmp_path / split / "trials" / "one" / "seed0" / "evaluation" / "per_image.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"{name}.png,{value},1,1,0,0" for name, value in dice.items()]
        file.write_text("\n".join(["image,dice,hd95,hd95_monai,missed,false_alarm", *rows]))

    write("by_patient", x=0.5, y=0.7)
    write("by_picture", x=0.6, y=0.8)
    (line,) = leaks.compare(tmp_path)
    assert "2 pictures, Dice 0.600 split by patient, 0.700 by picture, difference +0.100 (+0.100 to" in line
    write("by_patient", z=1)
    with pytest.raises(leaks.InputError, match="must be tested on the same pictures twice"):
        leaks.compare(tmp_path)
