"""Attacks by peers, over DIMSE and DICOMweb: how many of so many tries the listener and the client survive.

    python benchmarks/attack_peers.py [--tries 100]

The listener is a process of its own, `monai-lesion listen`. It survives a try when it still runs, holds hardly more
memory than before, and takes an image from a good sender in time. The client survives when it ends in time with the
right result or an error that names what is wrong. Needs Linux and the extra "dicom"; everything stays on this machine.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pydicom

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from monai_lesion.errors import InputError  # noqa: E402
from monai_lesion.pacs.archives import Archive, Instance  # noqa: E402
from monai_lesion.pacs.limits import Limits  # noqa: E402
from monai_lesion.pacs.web import segment_study  # noqa: E402
from tests.pacs import FakeArchive, planted  # noqa: E402
from tests.pacs.orthanc import free_port  # noqa: E402
from tests.pacs.raw_peers import ACCEPTED, answer, connect, echo_command, pdu, request  # noqa: E402

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
IN_TIME = 15.0  # seconds for a good sender; a second where nothing else runs
OPENING = 120.0  # seconds that the network may take to open
MORE_MEMORY = 200  # megabytes
JSON, RELATED = "application/dicom+json", 'multipart/related; type="application/dicom"; boundary=abc'
HEAD, TAIL = b"--abc\r\nContent-Type: application/dicom\r\n\r\n", b"\r\n--abc--\r\n"


class ListenerProcess:
    """The command, its port and its queue."""

    def __init__(self, folder: Path) -> None:
        self.port, self.queue = free_port(), folder / "queue"
        line = [sys.executable, "-m", "monai_lesion", "listen", "--aet", "LESION", "--port", str(self.port)]
        line += ["--from", "SCANNER", "--to", "ARCHIVE@127.0.0.1:9", "--host", "127.0.0.1", "--queue", str(self.queue)]
        line += ["--limit", "greeting=3", "--limit", "pdu=3", "--limit", "stalled=1"]
        self.process = subprocess.Popen(line, stderr=subprocess.PIPE, cwd=ROOT, text=True)
        self.said = self.process.stderr.readline()  # type: ignore[union-attr]
        self._drain = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)
        self.memory = float("inf")

    def resident(self) -> float:
        """Megabytes in memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) / 1024

    def well(self, image: Path) -> bool:
        """Whether it runs, keeps to its memory, and takes an image in time."""
        from pynetdicom import AE

        if self.process.poll() is not None or self.resident() > self.memory + MORE_MEMORY:
            return False
        start, entity = time.monotonic(), AE("SCANNER")
        entity.acse_timeout = entity.dimse_timeout = entity.connection_timeout = IN_TIME
        entity.add_requested_context(ULTRASOUND, "1.2.840.10008.1.2.1")
        association = entity.associate("127.0.0.1", self.port, ae_title="LESION")
        taken = association.is_established and association.send_c_store(pydicom.dcmread(image)).get("Status") == 0
        association.release()
        return taken and time.monotonic() - start < IN_TIME

    def end(self, number: int = signal.SIGTERM) -> float:
        """Send it a signal; return the seconds to its end."""
        start = time.monotonic()
        self.process.send_signal(number)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._drain.wait()
        return time.monotonic() - start


@contextmanager
def listener(folder: Path, image: Path) -> Iterator[ListenerProcess]:
    """A listener that has taken one image, and ends with the block."""
    running = ListenerProcess(folder)
    try:
        running.well(image)
        end = time.monotonic() + OPENING
        while not any(running.queue.glob("outgoing/*.dcm")) and time.monotonic() < end:
            time.sleep(0.2)  # the network is being opened, and takes its memory
        running.memory = running.resident()
        yield running
    finally:
        running.end(signal.SIGKILL)


def flood(port: int, contents: list[bytes], hold: list[object]) -> None:
    """Open a connection for each content, send it, and keep it open."""
    for content in contents:
        with suppress(OSError):
            hold.append(connect(port, content))


def associated(port: int, content: bytes) -> object | None:
    """An association that sends something and then nothing."""
    with suppress(OSError):
        connection = connect(port, request())
        if answer(connection) == ACCEPTED:
            connection.sendall(content)
        return connection
    return None


def mutated(content: bytes, generator: random.Random) -> bytes:
    """Some bytes changed, some cut off the end."""
    changed = bytearray(content)
    for _ in range(generator.randint(1, 8)):
        changed[generator.randrange(len(changed))] = generator.randrange(256)
    return bytes(changed[: generator.randint(1, len(changed))]) if generator.random() < 0.3 else bytes(changed)


def dimse_rows(tries: int, folder: Path, image: Path) -> Iterator[tuple[str, int, int]]:
    """Attacks on the listener."""
    generator = random.Random(19)
    claims = request(claims=0xFFFFFFFF)
    whole = request() + echo_command()
    attacks: dict[str, tuple[int, Callable[[int, list[object]], object]]] = {
        "association request that claims 4 GB, and 1 MB of it": (
            max(1, tries // 20),
            lambda port, hold: flood(port, [claims + bytes(1 << 20)], hold),
        ),
        "12 probes that connect and close": (
            max(1, tries // 20),
            lambda port, hold: [connect(port).close() for _ in range(12)],
        ),
        "15 silent connections": (max(1, tries // 20), lambda port, hold: flood(port, [b""] * 15, hold)),
        "100 silent connections": (max(1, tries // 50), lambda port, hold: flood(port, [b""] * 100, hold)),
        "10 half-sent requests without an AE title": (
            max(1, tries // 20),
            lambda port, hold: flood(port, [request()[:9]] * 10, hold),
        ),
        "40 associations that stall in mid-message": (
            max(1, tries // 50),
            lambda port, hold: flood(port, [request() + pdu(4, b"half", 5000)] * 40, hold),
        ),
        "message that claims 4 GB": (
            max(1, tries // 20),
            lambda port, hold: hold.append(associated(port, pdu(4, bytes(1 << 16), 0xFFFFFFFF))),
        ),
        "mutated requests and messages": (
            tries,
            lambda port, hold: flood(port, [mutated(whole, generator)], hold),
        ),
    }
    for number, (name, (count, attack)) in enumerate(attacks.items()):
        with listener(folder / str(number), image) as running:
            survived = 0
            for _ in range(count):
                hold: list[object] = []
                with suppress(OSError):
                    attack(running.port, hold)
                survived += running.well(image)
                for each in hold:
                    if each is not None:
                        each.close()  # type: ignore[attr-defined]
        yield name, count, survived
    yield "SIGTERM while 9 associations stall: ended in 10 s", *_terminated(max(1, tries // 50), folder, image)
    yield "kill -9 while receiving: acknowledged images are there", *_killed(max(1, tries // 10), folder, image)


def _terminated(count: int, folder: Path, image: Path) -> tuple[int, int]:
    survived = 0
    for number in range(count):
        with listener(folder / f"term{number}", image) as running:
            hold = [associated(running.port, pdu(4, b"half", 5000)) for _ in range(9)]
            survived += running.end() < 10 and running.process.returncode == 0
            for each in hold:
                if each is not None:
                    each.close()  # type: ignore[attr-defined]
    return count, survived


def _killed(count: int, folder: Path, image: Path) -> tuple[int, int]:
    from pynetdicom import AE

    generator, survived = random.Random(19), 0
    dataset = pydicom.dcmread(image)
    for number in range(count):
        running, acknowledged = ListenerProcess(folder / f"kill{number}"), set()
        entity = AE("SCANNER")
        entity.add_requested_context(ULTRASOUND, "1.2.840.10008.1.2.1")
        association = entity.associate("127.0.0.1", running.port, ae_title="LESION")
        for name in range(generator.randint(1, 10)):
            dataset.SOPInstanceUID = f"1.2.{number + 1}.{name + 1}"
            if association.is_established and association.send_c_store(dataset).get("Status") == 0:
                acknowledged.add(str(dataset.SOPInstanceUID))
        running.end(signal.SIGKILL)
        association.abort()
        images = [*running.queue.glob("incoming/*/[!.]*.dcm"), *running.queue.glob("waiting/*/*.dcm")]
        kept = {str(pydicom.dcmread(each, stop_before_pixels=True).SOPInstanceUID) for each in images}
        results = list(running.queue.glob("outgoing/*.dcm"))
        references = {
            str(source.ReferencedSOPInstanceUID)
            for each in results
            for source in pydicom.dcmread(each, stop_before_pixels=True).get("SourceImageSequence", [])
        }
        survived += bool(acknowledged) and acknowledged <= kept | references
    return count, survived


class Copy:
    """A result whose only object is the source under another identifier; no network is needed for it."""

    measurements = verdict = None

    def __init__(self, file: object) -> None:
        self.dataset = pydicom.dcmread(file.path)  # type: ignore[attr-defined]

    def save(self, folder: Path, formats: object, *, name: str, **kinds: str) -> list[Path]:
        """Write it."""
        self.dataset.SOPInstanceUID += ".9"
        self.dataset.save_as(Path(folder) / f"{name}.dcm")
        return [Path(folder) / f"{name}.dcm"]


def listing(*uids: str) -> bytes:
    """What an archive lists."""
    series = {"vr": "UI", "Value": ["1.2.3.4"]}
    kind = {"vr": "UI", "Value": [ULTRASOUND]}
    return json.dumps(
        [{"00080018": {"vr": "UI", "Value": [uid]}, "00080016": kind, "0020000E": series} for uid in uids]
    ).encode()


def web_rows(tries: int, image: Path) -> Iterator[tuple[str, int, int]]:
    """Archives that lie, break off, never end, or send anything."""
    content, generator = image.read_bytes(), random.Random(19)
    uid = str(pydicom.dcmread(image).SOPInstanceUID)
    logging.getLogger("monai_lesion").setLevel(logging.CRITICAL)  # thousands of lines on what is refused
    refusal = json.dumps(
        {"00081198": {"Value": [{"00081155": {"Value": [f"{uid}.9"]}, "00081197": {"Value": [0x0122]}}]}}
    ).encode()
    page = b"<html><title>Sign in</title></html>"
    stored = json.dumps({"00081199": {"Value": [{"00081155": {"Value": [f"{uid}.9"]}}]}}).encode()

    def study(
        fetched: Callable[[], tuple], told: Callable[[], tuple], found: Callable[[], bytes] = lambda: listing(uid)
    ):
        def reply(method: str, path: str, query: str, body: bytes) -> tuple:
            if method == "POST":
                return told()
            if "SOPInstanceUID=" in query:
                return 200, JSON, b"[]"
            if path.endswith("/series"):
                return 501, "", b""
            return (200, JSON, found()) if path.endswith("/instances") else fetched()

        with FakeArchive(reply).running() as fake:
            archive = Archive(
                fake.url, retries=0, wait=0, timeout=2, limits=Limits(answer_bytes=1 << 20, slowest=1 << 20)
            )
            return segment_study(archive, "1.2.3", segmenter=lambda file, frame=None: Copy(file), progress=False)

    def sound() -> tuple:
        return 200, RELATED, HEAD + content + TAIL

    def foreign(texts: Iterable[str]) -> bool:
        """Whether an error is not ours; of those the log tells the kind alone."""
        return any(text.endswith("Error") for text in texts)

    def failed(*parts: Callable[[], tuple]) -> bool:
        outcome = study(*parts)
        return (
            outcome.stored == outcome.skipped == 0 and bool(outcome.failures) and not foreign(outcome.failures.values())
        )

    def ended(*parts: Callable[[], object]) -> bool:
        start, texts = time.monotonic(), []
        try:
            texts = list(study(*parts).failures.values())  # type: ignore[arg-type]
        except InputError:
            pass
        except Exception:
            return False
        return time.monotonic() - start < IN_TIME and not foreign(texts)

    def told() -> tuple:
        return 200, JSON, stored

    labels = [JSON, f"{JSON}; charset=utf-8", "application/json", "text/html", ""]
    refusals = [(status, label, body) for status in (200, 202, 409) for label in labels for body in (refusal, page)]
    yield (
        "STOW-RS: refused, under 30 labels: said to be refused",
        len(refusals),
        sum(failed(sound, lambda each=each: each) for each in refusals),
    )
    whole = HEAD + content + TAIL
    cuts = [generator.randrange(len(whole) - len(TAIL)) for _ in range(tries)]
    yield (
        "WADO-RS: half a download: said to have failed",
        tries,
        sum(failed(lambda cut=cut: (200, RELATED, whole[:cut]), told) for cut in cuts),
    )
    yield (
        "WADO-RS: mutated objects: an end, with a result or an error",
        tries,
        sum(ended(lambda: (200, RELATED, HEAD + mutated(content, generator) + TAIL), told) for _ in range(tries)),
    )
    yield (
        "STOW-RS: mutated answers: an end, with a result or an error",
        tries,
        sum(ended(sound, lambda: (200, JSON, mutated(stored, generator))) for _ in range(tries)),
    )
    yield (
        "QIDO-RS: mutated lists: an end, with a result or an error",
        tries,
        sum(ended(sound, told, lambda: mutated(listing(uid), generator)) for _ in range(tries)),
    )
    yield "QIDO-RS: pages without end, ignored offset", *_pages()
    yield "WADO-RS: 200 MB out of 200 kB of gzip, and a drip", *_bombs(content)


def _pages() -> tuple[int, int]:
    count, survived = iter(range(10**9)), 0
    for found in (lambda: listing("1.2.1", "1.2.2"), lambda: listing(f"1.2.{next(count)}")):
        with FakeArchive(lambda *_, found=found: (200, JSON, found())).running() as fake:
            start = time.monotonic()
            with suppress(InputError):
                Archive(fake.url, retries=0, limits=Limits(listed_objects=50)).instances("1.2.3")
            survived += time.monotonic() - start < IN_TIME
    return 2, survived


def _bombs(content: bytes) -> tuple[int, int]:
    """Played over a plain socket: the fake archive sends no such things."""
    import socket
    import threading

    survived = 0
    bomb = gzip.compress(bytes(200 << 20))
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/dicom\r\n{}\r\n"
    for kind in ("bomb", "drip"):
        server = socket.create_server(("127.0.0.1", 0))

        def play(server: socket.socket = server, kind: str = kind) -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(1 << 16)
                if kind == "bomb":
                    line = f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n"
                    connection.sendall(head.format(line).encode() + bomb)
                else:
                    connection.sendall(head.format(f"Content-Length: {len(content)}\r\n").encode())
                    for byte in content:
                        connection.sendall(bytes([byte]))
                        time.sleep(0.05)

        threading.Thread(target=play, daemon=True).start()
        archive = Archive(
            f"http://127.0.0.1:{server.getsockname()[1]}/x", retries=0, timeout=1, limits=Limits(object_bytes=1 << 20)
        )
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                archive.fetch("1.2", Instance("1.2.3", "1.2", ""), Path(folder) / "got.dcm")
            except InputError:
                survived += time.monotonic() - start < IN_TIME
        server.close()
    return 2, survived


def rows(tries: int | None = None) -> Iterator[tuple[str, int, int]]:
    """Each attack with the number of tries and of those that were survived.

    Args:
        tries: tries of the mutated messages and answers; the slower attacks have fewer. None for 100.
    """
    count = 100 if tries is None else tries
    with tempfile.TemporaryDirectory(prefix="attack-peers-") as name:
        image = planted(Path(name) / "in")
        yield from dimse_rows(count, Path(name), image)
        yield from web_rows(count, image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=100)
    options = parser.parse_args()
    print(f"{'attack':<62}{'tries':>7}{'survived':>10}")
    for attack, tries, survived in rows(options.tries):
        print(f"{attack:<62}{tries:>7}{survived:>10}", flush=True)


if __name__ == "__main__":
    main()
