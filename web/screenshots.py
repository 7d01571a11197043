"""Take the pictures of the page for the docs: simulated views of one case, so nothing of a patient.

    python web/screenshots.py docs/images [--widths 360,1280,3840]

page.png: two views with their volume on a wide screen. page_phone.png: the same on a phone. --widths takes one more
at each width, to look at.
"""

import argparse
import shutil
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import sync_playwright

from monai_lesion.models.presets import load_preset
from monai_lesion.page.files import write_page
from monai_lesion.phantoms.cases import simulate_case
from monai_lesion.phantoms.dicom import write_dicom

SEED, CASE = 7, 3
SHOWN = "document.querySelectorAll('#sizes dd').length && /done/.test(document.querySelector('#status').textContent)"


class Quiet(SimpleHTTPRequestHandler):
    """Files, without a word."""

    def log_message(self, *_):  # noqa: D102
        pass


def take(browser, address, views, output, *, width, height, factor=1):
    """Drop the views, mark both, and take the picture."""
    context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=factor)
    page = context.new_page()
    page.goto(f"{address}#empty")
    page.wait_for_selector("body[data-offline=true]", timeout=120_000)
    page.set_input_files("#files", views)
    while not page.evaluate(f"Boolean({SHOWN})"):
        page.wait_for_timeout(50)
    for box in page.get_by_role("checkbox", name="View of the case").all():
        box.check()
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(500)
    page.screenshot(path=str(output))
    context.close()


def main():
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--widths", default="")
    options = parser.parse_args()
    case = simulate_case(SEED, CASE)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        site = write_page(Path(scratch) / "page", [load_preset("pocket"), load_preset("clinic")])
        views = []
        for view in case.views:
            views.append(Path(scratch) / f"{view.view}.dcm")
            write_dicom(views[-1], case, view, seed=SEED)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        address = f"http://127.0.0.1:{server.server_port}/"
        take(browser, address, views, options.output / "page.png", width=1280, height=800)
        take(browser, address, views, options.output / "page_phone.png", width=390, height=1180)
        for width in filter(None, options.widths.split(",")):
            height = {"360": 1200, "3840": 2160}.get(width, 800)
            file = options.output / f"page_{width}.png"
            take(browser, address, views, file, width=int(width), height=height)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
