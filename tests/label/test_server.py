"""The bundle on a real MONAI Label server: masks as the library's, training, scoring, and what it refuses."""

from __future__ import annotations

import io
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import generate_uid

from monai_lesion import LesionSegmenter
from monai_lesion.datasets.importers import create_manifest
from monai_lesion.label.corrections import corrected
from monai_lesion.label.folders import write_label_app
from monai_lesion.models.presets import load_preset
from monai_lesion.networks import LighterUNet
from monai_lesion.phantoms.cases import simulate_case
from tests.images import write_dicom
from tests.label.servers import REPOSITORY, Server, command, environment, free_port, running_server, surroundings
from tests.pacs.orthanc import PASSWORD, USER, needs_orthanc, running_orthanc
from tests.shared_data import SHARED

pytestmark = pytest.mark.slow

BUNDLE = REPOSITORY / "bundles" / "lighter_unet"
SETTINGS = {"network_def#group_size": 1, "spatial_size": [32, 32]}
CLIENT = SHARED.parent / "monai_label" / "client.py"
SIZE = (90, 142)


def picture(size: tuple[int, int] = SIZE, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Speckle with a bright slab above, right of the middle: no flip and no turn leaves it where it is."""
    random = np.random.default_rng(seed)
    rows, columns = size
    mask = np.zeros(size, bool)
    mask[rows // 8 : rows // 2, columns // 2 : columns * 3 // 4] = True
    mask[rows // 8 : rows // 4, columns // 2 : columns * 7 // 8] = True
    grey = np.where(mask, 190, 50) + random.normal(0, 15, size)
    return np.clip(grey, 0, 255).astype(np.uint8), mask


def coloured(grey: np.ndarray) -> np.ndarray:
    """RGB with three different channels, so that a mix-up of them is seen."""
    return np.stack([grey, grey // 2 + 40, 255 - grey // 2], axis=2)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As the server: sums in another order differ in their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that has learnt in a few steps that what is bright is lesion."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    network = LighterUNet(group_size=1, dropout=0.5)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    for _ in range(60):
        images, labels = [], []
        for number in range(4):
            top, left = random.integers(2, 16, 2)
            mask = np.zeros((32, 32), bool)
            mask[top : top + random.integers(5, 16), left : left + random.integers(5, 16)] = True
            grey = np.clip(np.where(mask, 190, 50) + random.normal(0, 15, mask.shape), 0, 255).astype(np.uint8)
            rgb = coloured(grey) if number % 2 else np.stack([grey] * 3, axis=2)
            images.append(torch.from_numpy(rgb).permute(2, 0, 1) / 255)
            labels.append(torch.from_numpy(mask)[None].float())
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(torch.stack(images)), torch.stack(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    file = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save({"model": network.state_dict()}, file)
    return file


@pytest.fixture(scope="module")
def app(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_label_app(tmp_path_factory.mktemp("app") / "app", BUNDLE, weights=weights, overrides=SETTINGS)


@pytest.fixture(scope="module")
def python() -> Path:
    return environment()


@pytest.fixture(scope="module")
def server(app: Path, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "studies").mkdir()
    conf = {"epistemic_model": "lighter_unet", "epistemic_simulation_size": "3"}
    more = {"MONAI_LABEL_AUTO_UPDATE_SCORING": "false"}  # else it scores between the calls of the tests
    with running_server(python, app, folder / "studies", folder, conf=conf, **more) as running:
        yield running


@pytest.fixture(scope="module")
def library(app: Path) -> LesionSegmenter:
    return LesionSegmenter.from_bundle(app / "model" / "lighter_unet", device="cpu")


def save(path: Path, kind: str) -> Path:
    """The picture in one of the ways in which scanners, archives and people store it."""
    grey, _ = picture()
    rgb = coloured(grey)
    size = {"Rows": SIZE[0], "Columns": SIZE[1]}
    if kind == "DICOM RGB":
        return write_dicom(path.with_suffix(".dcm"), rgb.tobytes(), "RGB", **size)
    if kind == "DICOM palette":
        tables = {}
        for channel, name in enumerate(("Red", "Green", "Blue")):
            values = coloured(np.arange(256, dtype=np.uint8)[None])[0, :, channel].astype("<u2") * 257
            tables[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
            tables[f"{name}PaletteColorLookupTableData"] = values.tobytes()
        return write_dicom(path.with_suffix(".dcm"), grey.tobytes(), "PALETTE COLOR", **size, **tables)
    if kind == "DICOM YBR":
        ybr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
        return write_dicom(path.with_suffix(".dcm"), ybr.tobytes(), "YBR_FULL", **size)
    if kind == "DICOM JPEG":
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "JPEG", quality=90)
        data, syntax = encapsulate([buffer.getvalue()]), "1.2.840.10008.1.2.4.50"
        return write_dicom(path.with_suffix(".dcm"), data, "YBR_FULL_422", syntax=syntax, **size)
    if kind == "DICOM cine":
        frames = np.stack([rgb, rgb[::-1, ::-1]])
        return write_dicom(path.with_suffix(".dcm"), frames.tobytes(), "RGB", NumberOfFrames=2, **size)
    if kind == "vector NIfTI":  # (W, H, 1, 1, 3)
        array = np.ascontiguousarray(rgb.transpose(1, 0, 2))[:, :, None, None]
        nibabel.save(nibabel.Nifti1Image(array, np.diag([-0.2, -0.2, 1.0, 1.0])), path.with_suffix(".nii.gz"))
        return path.with_suffix(".nii.gz")
    if kind == "JPEG":
        Image.fromarray(rgb).save(path.with_suffix(".jpg"), quality=90)
        return path.with_suffix(".jpg")
    if kind == "PNG 16-bit":
        Image.fromarray(grey.astype(np.uint16) * 256).save(path.with_suffix(".png"))
    elif kind == "PNG palette":
        Image.fromarray(rgb).quantize(64).save(path.with_suffix(".png"))
    elif kind == "PNG L":
        Image.fromarray(grey).save(path.with_suffix(".png"))
    else:
        Image.fromarray(rgb).convert(kind.removeprefix("PNG ")).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


KINDS = ["PNG L", "PNG LA", "PNG RGB", "PNG RGBA", "PNG palette", "PNG 16-bit", "JPEG"]
KINDS += ["DICOM RGB", "DICOM palette", "DICOM YBR", "DICOM JPEG", "DICOM cine", "vector NIfTI"]


def library_mask(library: LesionSegmenter, file: Path, kind: str = "") -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return library(file, frame=0 if kind == "DICOM cine" else None).mask


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one > 0, other > 0
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_mask_is_the_librarys_to_the_pixel_and_upright(
    kind: str, server: Server, library: LesionSegmenter, tmp_path: Path
) -> None:
    file, name = save(tmp_path / "picture", kind), "kind_" + kind.replace(" ", "_")
    assert server.upload(file, name).json() == {"image": name}
    found = server.mask(name, result_extension=".png")
    assert found.dtype == np.uint8
    assert found.shape == SIZE
    np.testing.assert_array_equal(found, library_mask(library, file, kind))
    assert overlap(found, picture()[1]) > 0.8
    assert max(overlap(turned, picture()[1]) for turned in (found[::-1], found[:, ::-1], found[::-1, ::-1])) < 0.6
    np.testing.assert_array_equal(server.mask(file=file, result_extension=".png"), found)


def test_answers_without_any_parameter_are_lossless(server: Server, library: LesionSegmenter, tmp_path: Path) -> None:
    for kind in ("JPEG", "DICOM RGB"):
        file = save(tmp_path / "picture", kind)
        answer = server.ask("POST", "/infer/lighter_unet", params={"output": "image"}, files={"file": file.open("rb")})
        assert answer.status_code == 200
        np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(answer.content))), library_mask(library, file))


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
@pytest.mark.parametrize("kind", ["PNG RGB", "vector NIfTI"])
def test_volumes_that_viewers_ask_for_hold_the_same_mask(
    kind: str, ending: str, server: Server, library: LesionSegmenter, tmp_path: Path
) -> None:
    from monai_lesion.images.readers import read_mask

    file = save(tmp_path / "picture", kind)
    answer = server.infer(file=file, result_extension=ending, result_dtype="uint16")
    assert answer.status_code == 200, answer.text
    (tmp_path / f"mask{ending}").write_bytes(answer.content)
    np.testing.assert_array_equal(read_mask(tmp_path / f"mask{ending}"), library_mask(library, file) > 0)


def test_random_strategy_and_batch_inference(server: Server, library: LesionSegmenter, tmp_path: Path) -> None:
    file = save(tmp_path / "a", "PNG RGB")
    server.upload(file, "batch")
    assert "id" in server.ask("POST", "/activelearning/random", json={}).json()
    body = {"device": "cpu", "multi_gpu": False, "max_workers": 1, "label_tag": "original", "images": "unlabeled"}
    assert server.ask("POST", "/batch/infer/lighter_unet", params={"images": "unlabeled"}, json=body).status_code == 200
    state = server.wait("batch/infer")
    assert state["status"] == "DONE", state["details"]
    stored = server.ask("GET", "/datastore/label", params={"label": "batch", "tag": "original"})
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(stored.content))), library_mask(library, file))


def test_scores_order_the_images_by_how_unsure_the_network_is(server: Server, tmp_path: Path) -> None:
    clear, mask = picture()
    blurred = np.where(mask, 118, 112).astype(np.uint8)
    for name, grey in (("clear", clear), ("blurred", blurred)):
        Image.fromarray(grey).save(tmp_path / f"{name}.png")
        server.upload(tmp_path / f"{name}.png", name)
    answer = server.ask("POST", "/scoring/lighter_unet", params={"run_sync": True}, json={"simulation_size": 3})
    assert answer.status_code == 200, answer.text
    scores = {
        name: server.ask("GET", "/datastore/image/info", params={"image": name}).json()["epistemic_entropy"]
        for name in ("clear", "blurred")
    }
    assert scores["blurred"] > scores["clear"] > 0
    chosen = server.ask("POST", "/activelearning/epistemic", json={}).json()
    assert chosen["epistemic_entropy"] >= scores["blurred"]


def encoded(mask: np.ndarray, ending: str, folder: Path) -> bytes:
    """A label as annotators' programs save it."""
    file = folder / f"label{ending}"
    if ending == ".png":
        Image.fromarray(mask.astype(np.uint8)).save(file)
    elif ending == ".nii.gz":
        volume = nibabel.Nifti1Image(mask.T[..., None].astype(np.uint8), np.diag([-1.0, -1.0, 1.0, 1.0]))
        nibabel.save(volume, file)
    else:
        import itk

        itk.imwrite(itk.image_from_array(np.ascontiguousarray(mask[None].astype(np.uint8))), str(file))
    return file.read_bytes()


def test_twenty_pictures_go_from_doubt_through_correction_into_a_manifest(
    app: Path, python: Path, tmp_path: Path
) -> None:
    studies = tmp_path / "studies"
    studies.mkdir()
    for number in range(20):
        grey, _ = picture(seed=number)
        Image.fromarray(grey).save(studies / f"{number // 2:02}_{'lr'[number % 2]}.png")
    conf = {"epistemic_model": "lighter_unet", "epistemic_simulation_size": "2"}
    more = {"MONAI_LABEL_AUTO_UPDATE_SCORING": "false"}
    with running_server(python, app, studies, tmp_path / "server", conf=conf, **more) as server:
        assert server.ask("POST", "/scoring/lighter_unet", params={"run_sync": True}, json={}).status_code == 200
        scores = {}
        for file in studies.glob("*.png"):
            info = server.ask("GET", "/datastore/image/info", params={"image": file.stem}).json()
            scores[file.stem] = info["epistemic_entropy"]
        asked = [server.ask("POST", "/activelearning/doubtful_first", json={}).json() for _ in range(3)]
        assert [each["id"] for each in asked] == sorted(scores, key=scores.__getitem__, reverse=True)[:3]
        for name in sorted(scores)[:12]:
            answer = server.ask(
                "POST",
                "/infer/lighter_unet",
                params={"image": name, "output": "json"},
                files={"params": (None, "{}")},
            ).json()
            mask = server.mask(name)
            assert answer["found"] is True
            assert answer["measurements"]["area"] == {"value": pytest.approx(int((mask > 0).sum())), "unit": "px2"}
            stream = io.BytesIO()
            Image.fromarray(mask).save(stream, "PNG")
            assert server.label(name, stream.getvalue()).status_code == 200
    drawings = corrected(studies, "{case}_{view}.png")
    content = create_manifest(studies, drawings=drawings, split=(4, 1, 1))
    assert [len(content[split]) for split in ("training", "validation", "test")] == [8, 2, 2]


def test_training_on_the_servers_labels_gives_weights_that_are_served_at_once(
    server: Server, app: Path, tmp_path: Path
) -> None:
    for number, ending in enumerate((".png", ".nii.gz", ".nrrd")):
        grey, mask = picture(seed=number)
        Image.fromarray(grey).save(tmp_path / "picture.png")
        name = f"train_{number}"
        assert server.upload(tmp_path / "picture.png", name).status_code == 200
        answer = server.label(name, encoded(mask, ending, tmp_path), ending)
        assert answer.status_code == 200, answer.text
    before = server.mask("train_0")
    served = app / "model" / "lighter_unet" / "models" / "model.pt"
    old = torch.load(served, weights_only=True)["model"]
    body = {"max_epochs": 1, "val_split": 0.34, "device": "cpu", "multi_gpu": False}
    assert server.ask("POST", "/train/lighter_unet", json=body).status_code == 200
    state = server.wait("train")
    assert state["status"] == "DONE", "\n".join(state["details"])
    new = torch.load(served, weights_only=True)["model"]
    assert any(not torch.equal(value, old[name]) for name, value in new.items())
    fresh = LesionSegmenter.from_bundle(app / "model" / "lighter_unet", device="cpu")
    (tmp_path / "train_0.png").write_bytes(server.ask("GET", "/datastore/image", params={"image": "train_0"}).content)
    after = server.mask("train_0")
    np.testing.assert_array_equal(after, fresh(tmp_path / "train_0.png").mask)
    assert before.shape == after.shape


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


BAD_LABELS = {
    "colours": (coloured(picture()[0]), "a mask must be grey, got colours"),
    "size": (np.ones((40, 50), np.uint8), r"must have its image's 90 x 142 rows and columns, got 40 x 50"),
    "empty": (np.zeros(SIZE, np.uint8), "a label must show a lesion, got an empty mask"),
}


@pytest.mark.parametrize("kind", BAD_LABELS)
def test_bad_labels_are_refused_in_words_and_the_server_goes_on(kind: str, server: Server, tmp_path: Path) -> None:
    array, message = BAD_LABELS[kind]
    server.upload(save(tmp_path / "picture", "PNG L"), "labelled")
    answer = server.label("labelled", png(array))
    assert answer.status_code == 422
    assert message in answer.json()["detail"]
    assert server.ask("HEAD", "/datastore/label", params={"image": "labelled", "tag": "final"}).status_code >= 400
    assert server.mask("labelled").shape == SIZE


def test_bad_images_are_refused_in_words(server: Server, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"no picture")
    for answer in (server.upload(tmp_path / "no.png", "no"), server.infer(file=tmp_path / "no.png")):
        assert answer.status_code == 422
        assert "must be a readable picture" in answer.json()["detail"]
    answer = server.infer("nowhere")
    assert answer.status_code == 404
    assert "nowhere" in answer.json()["detail"]


def test_bad_labels_on_disk_are_left_out_of_a_training_with_a_line_in_the_log(
    app: Path, python: Path, tmp_path: Path
) -> None:
    studies = tmp_path / "studies"
    (studies / "labels" / "final").mkdir(parents=True)
    for name in ("good", "small", "empty"):
        shutil.copy(save(tmp_path / "picture", "PNG L"), studies / f"{name}.png")
    labels = {"good": picture()[1], "small": np.ones((9, 9), bool), "empty": np.zeros(SIZE, bool)}
    for name, mask in labels.items():
        (studies / "labels" / "final" / f"{name}.png").write_bytes(png(mask.astype(np.uint8)))
    shutil.copytree(app, tmp_path / "app")
    scan = shutil.copy(save(tmp_path / "picture", "DICOM RGB"), studies / "scan.dcm")
    with running_server(python, tmp_path / "app", studies, tmp_path / "server") as server:
        expected = LesionSegmenter.from_bundle(tmp_path / "app" / "model" / "lighter_unet", device="cpu")(scan).mask
        np.testing.assert_array_equal(server.mask("scan"), expected)
        body = {"max_epochs": 1, "val_split": 0.2, "device": "cpu", "multi_gpu": False}
        assert server.ask("POST", "/train/lighter_unet", json=body).status_code == 200
        state = server.wait("train")
        assert state["status"] == "DONE", "\n".join(state["details"])
        log = server.tail(100_000)
        assert "Left out of the training: small.png: a label must have its image's 90 x 142 rows and columns" in log
        assert "Left out of the training: empty.png: a label must show a lesion, got an empty mask" in log
        assert server.ask("GET", "/info/").status_code == 200


def test_app_does_not_start_with_the_weights_of_another_network(app: Path, python: Path, tmp_path: Path) -> None:
    shutil.copytree(app, tmp_path / "app")
    wrong = LighterUNet(group_size=8).state_dict()
    torch.save({"model": wrong}, tmp_path / "app" / "model" / "lighter_unet" / "models" / "model.pt")
    call = command(python, tmp_path / "app", tmp_path / "studies", free_port(), {})
    ended = subprocess.run(call, env=surroundings(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode != 0
    message = "must hold weights of LighterUNet(group_size=1), got weights of LighterUNet(group_size=8)"
    assert message in ended.stdout + ended.stderr


def spoil(file: Path, value: float) -> None:
    """Weights whose network computes no finite number."""
    content = torch.load(file, weights_only=True)
    for tensor in content["model"].values():
        if tensor.is_floating_point():
            tensor.fill_(value)
    torch.save(content, file)


@pytest.mark.parametrize("value", [float("nan"), 1e30], ids=["weights", "outputs"])
def test_a_network_that_is_not_finite_gives_no_mask_but_its_name(
    value: float, app: Path, python: Path, tmp_path: Path
) -> None:
    shutil.copytree(app, tmp_path / "app")
    (tmp_path / "studies").mkdir()
    Image.fromarray(picture()[0]).save(tmp_path / "studies" / "a.png")
    with running_server(python, tmp_path / "app", tmp_path / "studies", tmp_path) as server:
        assert server.infer("a").status_code == 200
        spoil(tmp_path / "app" / "model" / "lighter_unet" / "models" / "model.pt", value)
        answer = server.infer("a")
        assert answer.status_code == 500
        assert "network LighterUNet(group_size=1): must compute finite numbers" in answer.json()["detail"]
        assert server.ask("GET", "/info/").status_code == 200


@needs_orthanc
def test_images_of_a_dicomweb_archive_are_segmented_and_learnt_from(app: Path, python: Path, tmp_path: Path) -> None:
    grey, mask = picture()
    series = {}
    for kind in ("RGB", "MONOCHROME2"):
        uids = {f"{level}InstanceUID": generate_uid() for level in ("Study", "Series")}
        about = {**uids, "PatientID": kind, "PatientName": "Simulated", "StudyDate": "", "InstanceNumber": 1}
        about |= {"Rows": SIZE[0], "Columns": SIZE[1], "SOPInstanceUID": generate_uid()}
        pixels = coloured(grey) if kind == "RGB" else grey
        series[kind] = (
            str(uids["SeriesInstanceUID"]),
            write_dicom(tmp_path / f"{kind}.dcm", pixels.tobytes(), kind, **about),
        )
    shutil.copytree(app, tmp_path / "app")
    bundle = tmp_path / "app" / "model" / "lighter_unet"
    torch.save({"network": LighterUNet(group_size=1).state_dict()}, bundle / "models" / "old.pt")  # not to be served
    library = LesionSegmenter.from_bundle(bundle, device="cpu")
    with running_orthanc(tmp_path / "orthanc") as archive:
        archive.put(*(file for _, file in series.values()))
        settings = {"MONAI_LABEL_DICOMWEB_USERNAME": USER, "MONAI_LABEL_DICOMWEB_PASSWORD": PASSWORD}
        settings["MONAI_LABEL_DICOMWEB_CACHE_PATH"] = str(tmp_path / "cache")
        with running_server(python, tmp_path / "app", archive.url, tmp_path / "server", **settings) as server:
            chosen = server.ask("POST", "/activelearning/random", json={}).json()
            assert chosen["id"] in [name for name, _ in series.values()]
            for name, file in series.values():
                found = server.mask(name, result_extension=".png")
                np.testing.assert_array_equal(found, library_mask(library, file))
                answer = server.infer(name)  # a volume, as the image that the server gives
                (tmp_path / "mask.nii.gz").write_bytes(answer.content)
                assert nibabel.load(tmp_path / "mask.nii.gz").shape == (SIZE[1], SIZE[0], 1)
                label = encoded(mask, ".nii.gz", tmp_path)
                assert server.label(name, label, ".nii.gz").status_code == 200
            body = {"max_epochs": 1, "val_split": 0.5, "device": "cpu", "multi_gpu": False}
            server.ask("POST", "/train/lighter_unet", json=body)
            state = server.wait("train")
            assert state["status"] == "DONE", "\n".join(state["details"])
            assert server.ask("POST", "/activelearning/random", json={}).json() == {}  # all are labelled
            assert server.infer("1.2.3.4.5").status_code == 404


@needs_orthanc
def test_cine_of_an_archive_is_segmented_from_the_dicom_file(app: Path, python: Path, tmp_path: Path) -> None:
    grey, _ = picture()
    frames = np.stack([coloured(grey), coloured(grey)[::-1, ::-1]])
    uids = {f"{level}InstanceUID": generate_uid() for level in ("Study", "Series", "SOP")}
    about = {**uids, "PatientID": "cine", "PatientName": "Simulated", "StudyDate": "", "InstanceNumber": 1}
    about |= {"Rows": SIZE[0], "Columns": SIZE[1], "NumberOfFrames": 2}
    file = write_dicom(tmp_path / "cine.dcm", frames.tobytes(), "RGB", **about)
    library = LesionSegmenter.from_bundle(app / "model" / "lighter_unet", device="cpu")
    with running_orthanc(tmp_path / "orthanc") as archive:
        archive.put(file)
        settings = {"MONAI_LABEL_DICOMWEB_USERNAME": USER, "MONAI_LABEL_DICOMWEB_PASSWORD": PASSWORD}
        settings["MONAI_LABEL_DICOMWEB_CACHE_PATH"] = str(tmp_path / "cache")
        settings["MONAI_LABEL_DICOMWEB_CONVERT_TO_NIFTI"] = "false"
        with running_server(python, app, archive.url, tmp_path / "server", **settings) as server:
            found = server.mask(str(uids["SeriesInstanceUID"]))
            np.testing.assert_array_equal(found, library_mask(library, file, "DICOM cine"))


def test_masks_of_monai_labels_own_bundle_app_are_the_same(app: Path, python: Path, tmp_path: Path) -> None:
    stock = tmp_path / "stock"
    shutil.copytree(python.parents[1] / "monailabel" / "sample-apps" / "monaibundle", stock)
    shutil.copytree(app / "model", stock / "model")
    library = LesionSegmenter.from_bundle(stock / "model" / "lighter_unet", device="cpu")
    conf = {"models": "lighter_unet", "zoo_source": "local", "sam2": "false"}
    with running_server(python, stock, tmp_path / "studies", tmp_path / "server", conf=conf) as server:
        for kind in ("PNG RGBA", "DICOM YBR"):
            file = save(tmp_path / "picture", kind)
            found = server.mask(file=file, result_extension=".png", result_dtype="uint8")
            np.testing.assert_array_equal(found, library_mask(library, file))


def test_shared_client_passes(server: Server, python: Path, tmp_path: Path) -> None:
    if not CLIENT.is_file():
        pytest.skip(f"{CLIENT} is not there")
    files = [save(tmp_path / kind.replace(" ", "_"), kind) for kind in ("PNG RGB", "JPEG", "DICOM RGB")]
    call = [str(python), str(CLIENT), "--server", server.url, "--train", "--scoring", "--batch", *map(str, files)]
    ended = subprocess.run(call, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_decision_trust_and_intervals_are_the_librarys_while_the_weights_are_the_calibrated_ones(
    python: Path, tmp_path: Path
) -> None:
    preset = load_preset("pocket")
    known = {"network_def": preset.description.network_def, "spatial_size": list(preset.description.steps.input_size)}
    app = write_label_app(tmp_path / "app", BUNDLE, weights=preset.weights, overrides=known)
    view = simulate_case(0, 0).views[0].pixels
    pictures = {"seen": view, "dark": np.zeros_like(view)}
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    segmenter = LesionSegmenter.from_preset("pocket", runtime="torch")
    expected = {name: segmenter(pixels) for name, pixels in pictures.items()}
    assert expected["seen"].decision != "nothing found"
    assert expected["dark"].decision == "nothing found"
    (tmp_path / "studies").mkdir()
    models = app / "model" / "lighter_unet" / "models"
    with running_server(python, app, tmp_path / "studies", tmp_path) as server:

        def told(name: str) -> dict[str, Any]:
            files = {"file": (tmp_path / f"{name}.png").open("rb"), "params": (None, "{}")}
            answer = server.ask("POST", "/infer/lighter_unet", params={"output": "json"}, files=files)
            assert answer.status_code == 200, answer.text
            return answer.json()

        for name, wanted in expected.items():
            params, facts = told(name), wanted.to_dict()
            assert (params["found"], params["decision"]) == (facts["found"], facts["decision"])
            assert params.get("trust") == pytest.approx(facts["trust"], abs=1e-3)
            assert params.get("intervals", {}).keys() == (facts["intervals"] or {}).keys()
            mask = server.infer(file=tmp_path / f"{name}.png")
            drawn = np.array(Image.open(io.BytesIO(mask.content)))
            assert overlap(drawn, wanted.mask) > 0.999 if wanted.mask.any() else not drawn.any()
        spoilt = torch.load(models / "model.pt", weights_only=True)
        first = next(iter(spoilt["model"].values()))
        first += 0.01  # as a training on the server changes them
        torch.save(spoilt, models / "model.pt")
        assert "decision" not in told("seen")
