"""What the model zoo asks of a bundle: its files and keys, and MONAI's own verbs on the folder that a release has."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch

import monai_lesion
from monai_lesion.networks import LighterUNet
from monai_lesion.phantoms.files import write_phantoms
from monai_lesion.training.packaging import package_bundle

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles" / "lighter_unet"
METADATA, TRAIN, INFERENCE = (BUNDLE / "configs" / f"{name}.json" for name in ("metadata", "train", "inference"))
SCHEMA = Path(__file__).with_name("metadata_schema.json")
TINY = {"network_def#group_size": 1}
# docs/readme_template.md of the zoo, in its order and with its spelling mistake put right.
HEADINGS = ["Model Description", "Data", "Performance", "Additional Usage Steps", "System Configuration"]
HEADINGS += ["Limitations", "Citation Info", "References"]


def content(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_files_that_the_zoo_asks_for_are_there() -> None:
    for name in ("LICENSE", "configs/metadata.json", "configs/inference.json", "docs/README.md"):
        assert (BUNDLE / name).is_file(), name
    assert "Apache License" in (BUNDLE / "LICENSE").read_text(encoding="utf-8")
    assert "BUS-BRA" in (BUNDLE / "docs" / "data_license.txt").read_text(encoding="utf-8")
    assert not list(BUNDLE.glob("large_file*")), "weights have a home now: say so in the card"


def test_the_card_follows_the_zoos_template() -> None:
    card = (BUNDLE / "docs" / "README.md").read_text(encoding="utf-8")
    outside = re.sub(r"^```.*?^```", "", card, flags=re.M | re.S)
    assert re.findall(r"^### \*\*(.+)\*\*$", outside, re.M) == ["Authors", "Tags"]
    assert [name for name in re.findall(r"^## \*\*(.+)\*\*$", outside, re.M) if name in HEADINGS] == HEADINGS
    assert "#### **Preprocessing**" in outside


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        (INFERENCE, ["bundle_root", "device", "network_def", "inferer", "output_dir"]),
        (
            TRAIN,
            [
                "bundle_root",
                "device",
                "dataset_dir",
                "output_dir",
                "val_interval",
                *("train#trainer#max_epochs", "train#dataset#data", "train#handlers", "train#inferer"),
                *("validate#evaluator", "validate#dataset#data", "validate#handlers", "validate#key_metric"),
                *("train#preprocessing", "validate#preprocessing", "validate#postprocessing", "validate#inferer"),
            ],
        ),
    ],
    ids=["inference", "train"],
)
def test_the_keys_that_other_programs_look_for_are_there(config: Path, keys: list[str]) -> None:
    parser = monai.bundle.ConfigParser(content(config))
    assert [key for key in keys if key not in parser] == []


def test_training_and_inference_define_the_same_network() -> None:
    assert content(TRAIN)["network_def"] == content(INFERENCE)["network_def"]


def test_versions_agree() -> None:
    metadata = content(METADATA)
    assert metadata["version"] == metadata["monai_lesion_version"] == monai_lesion.__version__
    assert next(iter(metadata["changelog"])) == metadata["version"], "the newest version comes first"


def test_required_packages_are_those_that_a_registry_has() -> None:
    # The zoo's CI makes `pip install name==version` of each: a name that is not on PyPI fails there, or worse, gets
    # whatever somebody registers under it. So monai-lesion itself stands in monai_lesion_version instead.
    required = content(METADATA)["required_packages_version"]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    base = re.search(r"^dependencies = \[(.*?)^\]", text, re.M | re.S)[1]  # type: ignore[index]
    names = set(re.findall(r'"([\w-]+)>=', base))
    elsewhere = {"monai", "torch", "numpy"}  # have fields of their own
    rule = "all that a bundle run imports; typer and ONNX Runtime are for the command line and the library"
    assert set(required) == names - elsewhere - {"typer", "onnxruntime"}, rule


def verify_metadata(path: Path, folder: Path) -> None:
    pytest.importorskip("jsonschema")
    shutil.copy(SCHEMA, folder / "schema.json")  # MONAI fetches none where one lies already
    digest = hashlib.sha256(SCHEMA.read_bytes()).hexdigest()
    schema = {"filepath": str(folder / "schema.json"), "hash_val": digest, "hash_type": "sha256"}
    monai.bundle.verify_metadata(meta_file=str(path), **schema)


def test_metadata_passes_monais_check(tmp_path: Path) -> None:
    verify_metadata(METADATA, tmp_path)


@pytest.mark.parametrize(
    "fault",
    [
        {"version": 1},
        {"supported_apps": ["monai-label"]},
        {"optional_packages_version": {}},
        {"required_packages_version": {"itk": ">=5"}},
        {"network_data_format": {"inputs": {}, "outputs": {}}},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_metadata_that_breaks_a_rule_fails_monais_check(fault: dict, tmp_path: Path) -> None:
    (tmp_path / "metadata.json").write_text(json.dumps(content(METADATA) | fault))
    with pytest.raises(ValueError, match="Failed validating"):
        verify_metadata(tmp_path / "metadata.json", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("config", [TRAIN, INFERENCE], ids=["train", "inference"])
def test_the_network_takes_and_gives_what_the_metadata_say(config: Path) -> None:
    arguments = {"net_id": "network_def", "meta_file": str(METADATA), "config_file": str(config), "device": "cpu"}
    monai.bundle.verify_net_in_out(**arguments, **TINY)
    with pytest.raises(ValueError, match="output channel number `2` doesn't match: `1`"):
        monai.bundle.verify_net_in_out(**arguments, **TINY, **{"network_def#out_channels": 2})


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with a small network, unzipped."""
    folder = tmp_path_factory.mktemp("zoo")
    for name in ("configs", "docs"):
        shutil.copytree(BUNDLE / name, folder / "lighter_unet" / name)
    shutil.copy(BUNDLE / "LICENSE", folder / "lighter_unet")
    for name in ("train", "inference"):
        file = folder / "lighter_unet" / "configs" / f"{name}.json"
        config = content(file)
        config["network_def"]["group_size"] = 1
        file.write_text(json.dumps(config))
    torch.manual_seed(0)
    torch.save({"model": LighterUNet(group_size=1).state_dict()}, folder / "training.pt")
    package = package_bundle(folder / "lighter_unet", folder / "x.zip", weights=folder / "training.pt")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder / "released")
    return folder / "released" / "lighter_unet"


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def expected(pictures: torch.Tensor) -> np.ndarray:
    torch.manual_seed(0)
    with torch.no_grad():
        return LighterUNet(group_size=1).eval()(pictures).numpy()


def files(released: Path) -> dict[str, str]:
    configs = released / "configs"
    return {"meta_file": str(configs / "metadata.json"), "config_file": str(configs / "inference.json")}


@pytest.mark.slow
def test_ckpt_export_makes_torchscript_of_the_released_weights(
    released: Path, pictures: torch.Tensor, expected: np.ndarray, tmp_path: Path
) -> None:
    # As the zoo's CI calls it: without a key.
    weights = str(released / "models" / "model.pt")
    monai.bundle.ckpt_export(
        "network_def", str(tmp_path / "a.ts"), weights, bundle_root=str(released), **files(released)
    )
    network, metadata, extra = monai.data.load_net_with_metadata(
        str(tmp_path / "a.ts"), more_extra_files=["inference.json"]
    )
    with torch.no_grad():
        np.testing.assert_allclose(network.eval()(pictures).numpy(), expected, atol=1e-5)
    assert metadata["name"] == content(METADATA)["name"]
    assert json.loads(extra["inference.json"]) == content(released / "configs" / "inference.json")


@pytest.mark.slow
def test_ckpt_export_takes_what_training_wrote_by_its_key(
    released: Path, pictures: torch.Tensor, expected: np.ndarray, tmp_path: Path
) -> None:
    weights = str(released.parents[1] / "training.pt")
    monai.bundle.ckpt_export("network_def", str(tmp_path / "a.ts"), weights, key_in_ckpt="model", **files(released))
    with torch.no_grad():
        np.testing.assert_allclose(torch.jit.load(str(tmp_path / "a.ts"))(pictures).numpy(), expected, atol=1e-5)


@pytest.mark.slow
def test_onnx_export_gives_the_networks_answers(released: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    weights = str(released / "models" / "model.pt")
    monai.bundle.onnx_export(
        "network_def",
        str(tmp_path / "a.onnx"),
        weights,
        use_trace=True,
        converter_kwargs={"dynamo": False},  # else torch asks for onnxscript
        **files(released),
    )
    picture = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: picture.numpy()})
    torch.manual_seed(0)
    with torch.no_grad():
        wanted = LighterUNet(group_size=1).eval()(picture).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.slow
def test_load_gives_the_released_network(
    released: Path, pictures: torch.Tensor, expected: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = monai.bundle.load("lighter_unet", bundle_dir=released.parent, source="github", device="cpu")
    with torch.no_grad():
        np.testing.assert_array_equal(network.eval()(pictures).numpy(), expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["train", "inference"])
def test_create_workflow_makes_every_property(
    released: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONAI_LESION_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    manifest = write_phantoms(tmp_path / "cases", cases=4, seed=2, workers=0, progress=False)
    options = {"bundle_root": str(released), "manifest": str(manifest), "output_dir": str(tmp_path / "out")}
    options |= {"progress": False, "device": "cpu", "spatial_size": [32, 32]}
    if kind == "train":
        options["tensorboard"] = False
    workflow = monai.bundle.create_workflow(
        config_file=str(released / "configs" / f"{kind}.json"),
        workflow_type=kind,
        meta_file=str(released / "configs" / "metadata.json"),
        logging_file=str(released / "configs" / "logging.conf"),
        **options,
    )
    assert workflow.check_properties() == []
    assert workflow.version == monai_lesion.__version__
    assert workflow.channel_def == {"1": "lesion"}
    assert workflow.spatial_shape == [256, 256]
