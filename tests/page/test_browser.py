"""The page in Chromium, as a reader uses it."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_lesion import LesionSegmenter
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom
from tests.images import write_dicom as write_frames
from tests.page.conftest import WEB, Site

pytestmark = pytest.mark.slow
DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def page(browser: Any, site: Site) -> Iterator[Any]:
    """The page, ready, without the example; whatever it logs as an error fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    opened, errors = context.new_page(), []
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(f"{site.url}#empty")
    opened.wait_for_selector("body[data-offline=true]", timeout=120_000)
    yield opened
    context.close()
    assert errors == []


def until(page: Any, condition: str, timeout: float = 180_000) -> None:
    """Wait for a condition in JavaScript; the page's policy forbids Playwright's own way, which evaluates a text."""
    deadline = time.monotonic() + timeout / 1000
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(30)


def drop(page: Any, *files: Path | dict[str, Any], folder: bool = False) -> None:
    """Give files to the page and wait until all are worked through."""
    before = page.locator("#rows tr").count()
    page.set_input_files("#files", list(files))
    until(page, f"document.querySelectorAll('#rows tr').length === {before + len(files)}")
    until(page, "/done/.test(document.querySelector('#status').textContent)")


def taken(page: Any, button: str) -> bytes:
    """The bytes of what a button saves."""
    with page.expect_download() as started:
        page.get_by_role("button", name=button).click()
    return Path(started.value.path()).read_bytes()


def mask_of(page: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(taken(page, "Mask (PNG)"))).convert("L")) > 0


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 1.0 if not (one.any() or other.any()) else float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Simulated views as PNG and as calibrated DICOM."""
    folder = tmp_path_factory.mktemp("pictures")
    files = []
    for number in (0, 3, 6):
        case = simulate_case(7, number)
        for view in case.views:
            files += [folder / f"{number}-{view.view}.png", folder / f"{number}-{view.view}.dcm"]
            Image.fromarray(view.pixels).save(files[-2])
            write_dicom(files[-1], case, view, seed=7)
    return files


def test_a_visitor_sees_a_result_without_doing_anything(browser: Any, site: Site) -> None:
    page = browser.new_page()
    page.goto(site.url)
    page.wait_for_selector("#sizes dd", timeout=60_000)
    assert "mm" in page.inner_text("#sizes")
    assert "Research use only" in page.inner_text("#notice")
    page.close()


def test_masks_and_sizes_are_the_librarys(page: Any, pictures: list[Path]) -> None:
    segmenter = LesionSegmenter.from_preset("pocket")
    for file in pictures:
        drop(page, file)
        page.locator("#rows tr").last.click()
        until(page, f"document.querySelector('#canvas').ariaLabel?.startsWith('{file.name}')")
        wanted, got = segmenter(file), json.loads(taken(page, "Result (JSON)"))
        assert dice(mask_of(page), wanted.mask > 0) >= 0.999
        expected = wanted.to_dict()
        assert got.keys() - {"edited"} == expected.keys()
        assert got["measurements"].keys() == expected["measurements"].keys()
        assert got["model"] == expected["model"] == "pocket"
        assert got["network"].startswith(expected["network"].removesuffix("..."))
        assert (got["decision"], got["remarks"]) == (expected["decision"], expected["remarks"])
        assert got["trust"] == pytest.approx(expected["trust"], abs=2e-3)
        assert (got["region"], got["calibration"]) == (expected["region"], expected["calibration"])
        assert got["spacing_mm"] == (wanted.spacing and pytest.approx(wanted.spacing))
        for name in ("long_axis", "short_axis", "area"):
            one, other = got["measurements"][name], expected["measurements"][name]
            assert one["unit"] == other["unit"]
            assert one["value"] == pytest.approx(other["value"], rel=2e-3)


@pytest.mark.parametrize("name", ["US1_UNCR.dcm", "US1_J2KR.dcm", "color-pl.dcm", "deid_GREYSCALE_IMAGE.dcm"])
def test_real_dicom_gives_the_librarys_mask(name: str, page: Any) -> None:
    file = DATA / "us_dicom" / name
    if not file.is_file():
        pytest.skip("needs ../shared/data/us_dicom")
    drop(page, file)
    wanted = LesionSegmenter.from_preset("pocket")(file)
    assert dice(mask_of(page), wanted.mask > 0) >= 0.99


def test_no_request_leaves_after_loading(page: Any, site: Site, pictures: list[Path]) -> None:
    script = page.evaluate("navigator.serviceWorker.ready.then((each) => each.active.scriptURL)")
    asked, seen = len(site.asked), list[str]()
    page.context.on("request", lambda request: seen.append(request.url))
    drop(page, *pictures[:4])
    page.locator("#rows tr").nth(1).click()
    for button in ("Picture with contour (PNG)", "Mask (PNG)", "Result (JSON)", "Line of all files (CSV)"):
        taken(page, button)
    page.wait_for_timeout(1000)
    # The browser itself looks, when it likes, whether the service worker's script is still the same.
    assert [path for path in site.asked[asked:] if site.url + path != script] == []
    assert [url for url in seen if not url.startswith("blob:")] == []


def test_the_worker_may_not_connect(page: Any, site: Site) -> None:
    worker = page.workers[0] if page.workers else page.wait_for_event("worker")
    said = worker.evaluate(f"fetch('{site.url}files.json').then(() => 'sent', (error) => error.name)")
    assert said == "TypeError"


def test_it_opens_and_works_without_a_network(page: Any, site: Site, pictures: list[Path]) -> None:
    site.close()
    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector("body[data-ready=true]", timeout=60_000)
    drop(page, pictures[0])
    assert mask_of(page).any()


def test_a_reader_corrects_and_takes_it_back(page: Any, pictures: list[Path]) -> None:
    drop(page, pictures[4])
    before, area = mask_of(page), page.inner_text("#sizes")
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.keyboard.press("e")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=5)
    page.mouse.up()
    until(page, "document.querySelector('#decision').textContent === 'Edited by the reader'")
    # A hole is inside the outline: sizes count it, the mask does not.
    assert mask_of(page).sum() < before.sum()
    saved = json.loads(taken(page, "Result (JSON)"))
    assert saved["edited"] == "Edited by the reader"
    assert saved["decision"] is None
    page.keyboard.press("b")
    page.mouse.move(x, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(x, y, steps=10)
    page.mouse.up()
    assert page.inner_text("#sizes") != area
    page.keyboard.press("z")
    page.keyboard.press("z")
    np.testing.assert_array_equal(mask_of(page), before)
    assert page.inner_text("#sizes") == area
    page.keyboard.press("Shift+Z")
    assert mask_of(page).sum() < before.sum()


def test_an_axis_end_follows_the_hand(page: Any, pictures: list[Path]) -> None:
    drop(page, pictures[5])
    ends = json.loads(taken(page, "Result (JSON)"))["measurements"]["long_axis"]
    rows, columns = Image.open(io.BytesIO(taken(page, "Mask (PNG)"))).size[::-1]
    box = page.locator("#canvas").bounding_box()
    scale = min(box["width"] / columns, box["height"] / rows) * 0.98
    left, top = box["x"] + (box["width"] - columns * scale) / 2, box["y"] + (box["height"] - rows * scale) / 2
    row, column = ends["ends_px"][0]
    page.keyboard.press("a")
    page.mouse.move(left + (column + 0.5) * scale, top + (row + 0.5) * scale)
    page.mouse.down()
    page.mouse.move(left + (column + 20.5) * scale, top + (row + 0.5) * scale, steps=4)
    page.mouse.up()
    moved = json.loads(taken(page, "Result (JSON)"))["measurements"]["long_axis"]
    assert moved["ends_px"][1] == ends["ends_px"][1] or moved["ends_px"][0] == pytest.approx(
        [row, column + 20], abs=0.6
    )
    assert moved["value"] != ends["value"]


def test_keys_and_table(page: Any, pictures: list[Path]) -> None:
    drop(page, *pictures[:3])
    assert page.locator("tr[aria-selected=true]").inner_text().startswith(pictures[0].name)
    page.locator("#canvas").focus()
    page.keyboard.press(" ")
    until(page, f"document.querySelector('tr[aria-selected=true]').innerText.startsWith('{pictures[1].name}')")
    page.get_by_role("button", name="Long axis").click()
    sizes = [text for text in page.locator("#rows tr td:nth-child(3)").all_inner_texts() if text]
    values = [float(text.split()[0]) for text in sizes]
    assert values == sorted(values, reverse=True)
    lines = taken(page, "Line of all files (CSV)").decode().strip().splitlines()
    assert len(lines) == 4


def test_two_views_give_a_volume(page: Any, pictures: list[Path]) -> None:
    drop(page, *[file for file in pictures if file.name.startswith("3-") and file.suffix == ".dcm"])
    for box in page.get_by_role("checkbox", name="View of the case").all():
        box.check()
    assert "ml" in page.inner_text("#pair")
    assert "ml" in page.inner_text("#sizes")


def test_a_bad_file_stops_nothing(page: Any, pictures: list[Path]) -> None:
    text = {"name": "notes.png", "mimeType": "image/png", "buffer": b"not a picture"}
    cut = {"name": "cut.png", "mimeType": "image/png", "buffer": pictures[0].read_bytes()[:3000]}
    whole = {"name": "whole.png", "mimeType": "image/png", "buffer": pictures[0].read_bytes()}
    drop(page, text, cut, whole)
    rows = page.locator("#rows tr").all_inner_texts()
    assert "Not a PNG, JPEG, BMP, TIFF, WebP or DICOM file." in rows[0]
    assert "damaged" in rows[1]
    assert "px" in rows[2]
    assert "2 of them could not be read" in page.inner_text("#status")


def test_mutated_files_give_a_result_or_one_message(page: Any, pictures: list[Path]) -> None:
    rng = np.random.default_rng(3)
    jpeg = io.BytesIO()
    Image.open(pictures[0]).resize((160, 120)).save(jpeg, "JPEG")
    png = io.BytesIO()
    Image.open(pictures[0]).resize((160, 120)).save(png, "PNG")
    sources = [("png", png.getvalue()), ("jpg", jpeg.getvalue()), ("dcm", pictures[1].read_bytes()[:400_000])]
    files = []
    for number in range(300):
        kind, content = sources[number % 3]
        data = np.frombuffer(content, np.uint8).copy()
        reach = len(data) if number % 2 else min(len(data), 2000)  # half of them in the header
        places = rng.integers(0, reach, rng.integers(1, 12))
        data[places] = rng.integers(0, 256, len(places))
        kept = data[: rng.integers(100, len(data))] if number % 5 == 0 else data
        files.append({"name": f"{number}.{kind}", "mimeType": "image/x", "buffer": kept.tobytes()})
    for start in range(0, 300, 50):
        drop(page, *files[start : start + 50])
    cells = page.locator("#rows tr td:nth-child(2)").all_inner_texts()
    assert len(cells) == 300
    assert all(cells)
    drop(page, pictures[0])
    assert mask_of(page).any()


def test_memory_stays_flat(page: Any, pictures: list[Path]) -> None:
    def heap() -> float:
        session = page.context.new_cdp_session(page)
        session.send("HeapProfiler.collectGarbage")
        return float(page.evaluate("performance.memory.usedJSHeapSize"))

    content = pictures[0].read_bytes()
    several = [{"name": f"{number}.png", "mimeType": "image/png", "buffer": content} for number in range(50)]
    drop(page, *several)
    first = heap()
    for _ in range(9):
        drop(page, *several)
    # What is kept of a file: its mask, a byte a pixel, and its sizes; no picture of four.
    mask = np.prod(Image.open(pictures[0]).size)
    assert heap() - first < 450 * 1.5 * mask


def test_no_violation_of_accessibility(page: Any, pictures: list[Path]) -> None:
    drop(page, *pictures[:2])
    page.evaluate((WEB / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []


@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 800), (3840, 2160)])
def test_nothing_is_wider_than_the_screen(width: int, height: int, page: Any, pictures: list[Path]) -> None:
    page.set_viewport_size({"width": width, "height": height})
    drop(page, pictures[0])
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_deep_pictures_are_shown_as_the_library_sees_them(page: Any, pictures: list[Path], tmp_path: Path) -> None:
    grey = np.asarray(Image.open(pictures[0]).convert("L")).astype(np.uint16) * 16  # 12 bits
    Image.fromarray(grey).save(tmp_path / "deep.png")
    Image.open(pictures[0]).save(tmp_path / "plain.tif", compression="tiff_lzw")
    segmenter = LesionSegmenter.from_preset("pocket")
    for number, name in enumerate(("deep.png", "plain.tif")):
        drop(page, tmp_path / name)
        page.locator("#rows tr").nth(number).click()
        until(page, f"document.querySelector('#canvas').ariaLabel?.startsWith('{name}')")
        assert dice(mask_of(page), segmenter(tmp_path / name).mask > 0) >= 0.999


def canvas_of(page: Any) -> np.ndarray:
    """The pixels that the viewer shows, once they are drawn."""
    page.wait_for_timeout(300)
    return np.asarray(Image.open(io.BytesIO(page.locator("#canvas").screenshot())).convert("RGB")).astype(int)


def drag(page: Any, right: float, down: float) -> None:
    """Drag the middle of the picture."""
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y + down, steps=4)
    page.mouse.up()


def test_a_cine_has_a_slider(page: Any, pictures: list[Path], tmp_path: Path) -> None:
    frames = [np.asarray(Image.open(file).convert("RGB").resize((320, 240))) for file in pictures[:6:2]]
    facts = {"Rows": 240, "Columns": 320, "NumberOfFrames": 3}
    cine = write_frames(tmp_path / "cine.dcm", b"".join(frame.tobytes() for frame in frames), "RGB", **facts)
    drop(page, cine)
    results = [result.mask > 0 for result in LesionSegmenter.from_preset("pocket")(cine)]
    assert page.inner_text("#frame-number") == "1 / 3"
    assert dice(mask_of(page), results[0]) >= 0.99
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('#frame-number').value === '2 / 3'")
    assert dice(mask_of(page), results[1]) >= 0.99
    page.locator("#frame").fill("2")
    until(page, "document.querySelector('#frame-number').value === '3 / 3'")
    assert dice(mask_of(page), results[2]) >= 0.99
    assert json.loads(taken(page, "Result (JSON)"))["frame"] == 2


def test_a_folder_is_worked_through_with_progress(page: Any, pictures: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "study"
    (folder / "inner").mkdir(parents=True)
    for number in range(6):
        (folder / ("inner" if number % 2 else "") / f"{number}.png").write_bytes(pictures[0].read_bytes())
    (folder / "inner" / "notes.txt").write_text("not a picture")
    page.evaluate(
        "window.seen = []; new MutationObserver(() => seen.push(document.querySelector('#progress').value))"
        ".observe(document.querySelector('#progress'), { attributes: true })"
    )
    page.set_input_files("#folder", str(folder))
    until(page, "/files done/.test(document.querySelector('#status').textContent)")
    assert page.inner_text("#status") == "7 files done, 1 of them could not be read"
    seen = page.evaluate("seen")
    assert seen == sorted(seen)
    assert len(set(seen)) >= 6
    assert page.get_attribute("#progress", "hidden") is not None
    names = page.locator("#rows tr td:first-child").all_inner_texts()
    assert {"study/0.png", "study/inner/1.png"} <= set(names)
    lines = taken(page, "Line of all files (CSV)").decode().strip().splitlines()
    assert len(lines) == 7


def test_files_and_folders_are_dropped(page: Any, pictures: list[Path]) -> None:
    content = list(pictures[0].read_bytes())
    page.evaluate(
        """content => {
            const file = name => new File([Uint8Array.from(content)], name);
            const leaf = name => ({ isFile: true, name, fullPath: "/study/" + name, file: done => done(file(name)) });
            let parts = [[leaf("b.png"), leaf("a.png")], []];
            const folder = { isFile: false, createReader: () => ({ readEntries: done => done(parts.shift()) }) };
            const event = new Event("drop", { bubbles: true, cancelable: true });
            event.dataTransfer = { items: [folder, leaf("c.png")].map(each => ({ webkitGetAsEntry: () => each })) };
            document.body.dispatchEvent(event);
        }""",
        content,
    )
    until(page, "/3 files done/.test(document.querySelector('#status').textContent)")
    names = page.locator("#rows tr td:first-child").all_inner_texts()
    assert names == ["study/a.png", "study/b.png", "study/c.png"]


def test_a_drag_changes_brightness_and_contrast_and_no_mask(page: Any, pictures: list[Path]) -> None:
    drop(page, pictures[0])
    before, mask = canvas_of(page), mask_of(page)
    drag(page, 0, 80)
    assert canvas_of(page).mean() > before.mean() + 5
    drag(page, 0, -80)
    drag(page, 200, 0)
    middle = np.s_[before.shape[0] // 2 - 60 : before.shape[0] // 2 + 60]
    assert canvas_of(page)[middle].std() < 0.8 * before[middle].std()
    np.testing.assert_array_equal(mask_of(page), mask)


def green(picture: np.ndarray) -> int:
    """How many pixels have the colour of the contour."""
    red, middle, blue = np.moveaxis(picture, 2, 0)
    return int(((middle > red + 60) & (middle > blue + 60)).sum())


def test_wheel_zooms_and_keys_hide_contour_and_axes(page: Any, pictures: list[Path]) -> None:
    drop(page, pictures[0])
    before = canvas_of(page)
    assert green(before) > 50
    page.locator("#canvas").focus()
    page.keyboard.press("c")
    without = canvas_of(page)
    assert green(without) == 0
    page.keyboard.press("m")
    bare = canvas_of(page)
    assert (bare != without).any()
    page.keyboard.press("c")
    page.keyboard.press("m")
    np.testing.assert_array_equal(canvas_of(page), before)
    page.mouse.move(*[box / 2 for box in (1280, 800)])
    page.mouse.wheel(0, -300)
    assert green(canvas_of(page)) > 1.2 * green(before)
    page.keyboard.press("0")
    np.testing.assert_array_equal(canvas_of(page), before)


def test_the_saved_picture_shows_the_contour(page: Any, pictures: list[Path]) -> None:
    drop(page, pictures[0])
    saved = np.asarray(Image.open(io.BytesIO(taken(page, "Picture with contour (PNG)"))).convert("RGB")).astype(int)
    plain = np.asarray(Image.open(pictures[0]).convert("RGB")).astype(int)
    mask = mask_of(page)
    assert saved.shape == plain.shape
    rows, columns = np.nonzero((saved != plain).any(axis=2))
    inside = np.nonzero(mask)
    for found, wanted in ((rows, inside[0]), (columns, inside[1])):  # drawn on the border of the mask
        assert abs(found.min() - wanted.min()) <= 4
        assert abs(found.max() - wanted.max()) <= 4


def test_the_card_and_the_weights_are_one_click_away(page: Any) -> None:
    described = LesionSegmenter.from_preset("pocket")
    assert described.algorithm.weights[:12] in page.inner_text("#weights")
    with page.context.expect_page() as opened:
        page.locator("#card").click()
    assert "pocket" in opened.value.inner_text("body").lower()
    assert "Research use only" in page.inner_text("#notice")


def test_a_contour_is_pushed(page: Any, pictures: list[Path]) -> None:
    drop(page, pictures[4])
    before = mask_of(page)
    rows, columns = np.nonzero(before)
    box = page.locator("#canvas").bounding_box()
    scale = min(box["width"] / before.shape[1], box["height"] / before.shape[0]) * 0.98
    left = box["x"] + (box["width"] - before.shape[1] * scale) / 2
    top = box["y"] + (box["height"] - before.shape[0] * scale) / 2
    row = int(rows.mean())
    edge = int(columns[rows == row].max())
    page.keyboard.press("p")
    page.mouse.move(left + (edge - 10) * scale, top + row * scale)
    page.mouse.down()
    page.mouse.move(left + (edge + 10) * scale, top + row * scale, steps=5)
    page.mouse.up()
    after = mask_of(page)
    assert after.sum() > before.sum()
    assert (after & before).sum() == before.sum()
    page.get_by_role("button", name="Start again").click()
    np.testing.assert_array_equal(mask_of(page), before)
