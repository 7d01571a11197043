"""Study files: what they mean, and what is refused before anything is trained."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from monai_lesion.errors import InputError
from monai_lesion.networks.complexity import BASELINES, FAMILY
from monai_lesion.report.paper import LADDER
from monai_lesion.study.specifications import load_study, parse_study

STUDIES = Path(__file__).parents[2] / "studies"
SMALL = {"name": "small", "networks": ["Lighter U-net @8"], "weight_decays": [0.0001], "seeds": [0, 1]}


def test_table_2_is_the_ten_unets_each_weight_decay_and_three_seeds():
    study = load_study(STUDIES / "table2.json")
    assert {entry.name for entry in study.entries} == set(FAMILY)
    assert [entry.name for entry in study.entries[:2]] == ["U-net", "Lighter U-net @128"]
    for entry in study.entries:
        assert entry.weight_decays == (1e-2, 1e-3, 1e-4, 1e-5, 0.0)
        assert (entry.seeds, entry.tuning_seeds) == ((0, 1, 2), (0,))
    assert study.overrides == {}


def test_table_1_is_the_five_baselines():
    study = load_study(STUDIES / "table1.json")
    assert {entry.name for entry in study.entries} == set(BASELINES)


def test_the_ladder_is_the_papers_seven_rungs_one_change_each():
    study = load_study(STUDIES / "ladder.json")
    assert [entry.name for entry in study.entries] == list(LADDER)
    assert all(entry.network_def == {"_target_": "monai_lesion.networks.UNet"} for entry in study.entries)
    changes = [{**entry.overrides, "weight_decays": entry.weight_decays} for entry in study.entries]
    for lower, upper in pairwise(changes):
        assert set(lower) >= set(upper)
        assert len([key for key in lower if lower.get(key) != upper.get(key)]) <= 2  # the optimizer and its rate
    first, last = study.entries[0], study.entries[-1]
    assert (first.overrides["learning_rate"], first.overrides["batch_size"]) == (1e-3, 2)
    assert (last.overrides, last.weight_decays) == ({}, (1e-4,))


def test_a_row_has_its_own_numbers_or_the_studys():
    own = {"network": "U-net", "name": "wide", "seeds": [5], "weight_decays": [0], "overrides": {"batch_size": 2}}
    study = parse_study({**SMALL, "networks": ["U-net", own], "overrides": {"max_epochs": 3}})
    plain, wide = study.entries
    assert (plain.seeds, plain.weight_decays, plain.overrides) == ((0, 1), (1e-4,), {})
    assert (wide.seeds, wide.tuning_seeds, wide.weight_decays, wide.overrides) == ((5,), (5,), (0.0,), own["overrides"])


def test_a_recipe_is_a_list_of_overlays():
    assert parse_study({**SMALL, "recipe": ["converge"]}).recipe == ("converge",)
    for recipe in ("converge", ["../elsewhere"], [1]):
        with pytest.raises(InputError, match=r"study, recipe: must list overlays of the bundle by name, without .json"):
            parse_study({**SMALL, "recipe": recipe})


def test_a_network_of_ones_own_is_a_target():
    network = {"_target_": "monai_lesion.networks.LighterUNet", "group_size": 4, "width": 0.25}
    study = parse_study({**SMALL, "networks": [{"network": network, "name": "pocket"}]})
    assert study.entries[0].network_def == network


@pytest.mark.parametrize("name", sorted(path.stem for path in STUDIES.glob("*.json")))
def test_content_reads_back_the_same(name):
    study = load_study(STUDIES / f"{name}.json")
    assert parse_study(json.loads(json.dumps(study.content()))) == study


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": ["Lighter U-net @3"]}, "networks[0], network: must be one of U-net, "),
        ({"networks": ["lighter u-net @8"]}, "Did you mean 'Lighter U-net @8'?"),
        ({"networks": []}, "networks: must list at least one network, got []"),
        ({"networks": [3]}, "networks[0]: must be the name of a network"),
        ({"networks": ["U-net", "U-net"]}, "networks: must differ in name, got 'U-net' and 'U-net'"),
        ({"networks": [{"network": {"_target_": "a.B"}}]}, "networks[0], name: must be given"),
        ({"networks": [{"network": "U-net", "sedes": [1]}]}, "got 'sedes'. Did you mean 'seeds'?"),
        ({"weight_decays": []}, "weight_decays: must list at least one weight decay, got []"),
        ({"weight_decays": None}, "weight_decays: must list at least one weight decay, got null"),
        ({"weight_decays": [-1]}, "weight_decays: must be numbers of at least 0, got -1"),
        ({"weight_decays": ["1e-4"]}, "weight_decays: must be numbers of at least 0"),
        ({"weight_decays": [0, 0.0]}, "weight_decays: must all be different"),
        ({"seeds": []}, "seeds: must list at least one seed"),
        ({"seeds": [0, 0]}, "seeds: must all be different"),
        ({"seeds": [1.5]}, "seeds: must be whole numbers"),
        ({"tuning_seeds": []}, "tuning_seeds: must list at least one seed"),
        ({"name": "two words"}, "name: must be one word"),
        ({"manifest": ""}, 'manifest: must be a path, or left out, got ""'),
        ({"table": "table9"}, "table: must be one of table1, table2, ladder"),
        ({"overrides": []}, "overrides: must be an object"),
        ({"overrides": {"weight_decay": 0.1}}, "must not set what the study sets, got 'weight_decay'. See networks"),
        ({"overrides": {"ckpt_dir": "x"}}, "must not set what the study sets, got 'ckpt_dir'"),
        (
            {"overrides": {"network_def#group_size": 3}},
            "must not set what the study sets, got 'network_def#group_size'",
        ),
        ({"netwroks": []}, "got 'netwroks'. Did you mean 'networks'?"),
    ],
    ids=str,
)
def test_refuses_a_study_that_cannot_be_meant(change, message):
    with pytest.raises(InputError, match=re.escape(message)):
        parse_study({**SMALL, **change}, where="study.json")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"table2"'])
def test_refuses_a_file_that_is_no_study(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(InputError, match=r"study\.json: must be a"):
        load_study(tmp_path / "study.json")


def test_a_missing_file_tells_which_there_are():
    with pytest.raises(InputError, match=r"table3\.json: the study must exist, got no file. There are .*table2\.json"):
        load_study(STUDIES / "table3.json")
