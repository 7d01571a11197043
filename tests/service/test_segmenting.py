"""What the service makes of an image: by its route, for each destination, and never nothing."""

from __future__ import annotations

import logging
import os
from concurrent.futures import Future

import pydicom
import pytest

pytest.importorskip("prometheus_client", reason="the service needs prometheus-client")
pytest.importorskip("highdicom", reason="the writers need highdicom")

from monai_lesion.pacs.workers import StoppedError
from monai_lesion.service.metrics import Metrics
from monai_lesion.service.registers import WAITING
from monai_lesion.service.segmenting import RoutedSegmenting, Site, engine_of
from monai_lesion.service.stores import Store
from tests.pacs import bright_segmenter, names_nobody, planted
from tests.service import configured

TWO = """
[[routes]]
model = "breast"
body_part = ["THYROID"]
[[routes.to]]
destination = "archive"
formats = ["sc"]
"""
SEG, SR = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.33"


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path / "queue")
    yield found
    found.release()


def work(store, configuration, segmenter=None):
    site = Site(configuration, dict.fromkeys(configuration.models, segmenter or bright_segmenter()))
    for name in configuration.destinations:
        store.box(name)
    ready = Future()
    ready.set_result(True)
    woken = []
    found = RoutedSegmenting(store, ready, lambda: site, Metrics(store), woken.extend)
    found.woken = woken
    return found


def bring(store, *files, sender="SCANNER"):
    job = store.open(sender)
    for file in files:
        store.receive(job, str(pydicom.dcmread(file).SOPInstanceUID), file.read_bytes())
    store.close(job)


def results(store, name="archive"):
    return [pydicom.dcmread(file) for file in store.box(name).results()]


def test_an_image_becomes_seg_sr_and_sc_with_its_trace_in_log_and_register(tmp_path, store, caplog):
    caplog.set_level(logging.INFO, "monai_lesion")
    found = work(store, configured(tmp_path / "c", 1, 9))
    bring(store, planted(tmp_path, 1))
    found.all()
    assert sorted(each.Modality for each in results(store)) == ["OT", "SEG", "SR"]
    assert found.woken == ["archive"]
    assert store.waiting_images() == []
    rows = store.register.in_state("archive", WAITING)
    (segmented,) = [each for each in caplog.records if getattr(each, "event", "") == "segmented"]
    assert {row["trace"] for row in rows} != {""}
    assert len({row["trace"] for row in rows}) == 1
    assert segmented.decision == "lesion"
    assert names_nobody(caplog.text)


def test_a_second_time_nothing_is_made_twice(tmp_path, store):
    found = work(store, configured(tmp_path / "c", 1, 9))
    for _ in range(2):
        bring(store, planted(tmp_path, 1))
        found.all()
        for file in store.box("archive").results():
            store.box("archive").attempt(file)
            store.box("archive").confirm(file)
    assert len(store.register._rows("SELECT uid FROM results")) == 3


def test_routes_decide_and_what_fits_none_is_left_out(tmp_path, store):
    configuration = configured(tmp_path / "c", 1, 9, more="")
    text = (tmp_path / "c" / "service.toml").read_text()
    text = text.replace('model = "breast"\n', 'model = "breast"\nbody_part = ["BREAST"]\n', 1).replace(
        "[destinations.archive]", TWO + "[destinations.archive]"
    )
    (tmp_path / "c" / "service.toml").write_text(text)
    from monai_lesion.service.configurations import read_configuration

    configuration = read_configuration(tmp_path / "c" / "service.toml")
    found = work(store, configuration)
    bring(store, planted(tmp_path, 1, BodyPartExamined="THYROID"), planted(tmp_path, 2, BodyPartExamined="LIVER"))
    found.all()
    assert [each.Modality for each in results(store)] == ["OT"]
    assert found._metrics.left_out.labels("no route fits")._value.get() == 1
    assert store.waiting_images() == []


def test_nothing_found_is_an_object(tmp_path, store):
    found = work(store, configured(tmp_path / "c", 1, 9), bright_segmenter("0.99999999"))
    bring(store, planted(tmp_path, 1))
    found.all()
    (report,) = [each for each in results(store) if each.Modality == "SR"]
    assert "260415000" in str(report)  # Not detected


def unreadable(file, *, frame=None):
    raise RuntimeError("Planted^Petra is in this message")


unreadable.algorithm = bright_segmenter().algorithm


def test_what_cannot_be_evaluated_is_an_object_and_set_aside(tmp_path, store, caplog):
    found = work(store, configured(tmp_path / "c", 1, 9), unreadable)
    bring(store, planted(tmp_path, 1))
    found.all()
    (report,) = results(store)
    assert report.Modality == "SR"
    assert "373068000" in str(report)  # Undetermined
    texts = [str(each.value) for each in report.iterall() if each.keyword == "TextValue"]
    assert "The image could not be evaluated: instance 1.2.826.0.1.3680043.8.498.1: RuntimeError" in texts
    assert len(list(store.failed.iterdir())) == 1
    assert names_nobody(caplog.text + " ".join(texts))


@pytest.mark.slow
def test_one_bad_frame_of_a_cine_does_not_take_the_others(tmp_path, store):
    good = bright_segmenter()

    def second_is_bad(file, *, frame=None):
        if frame == 1:
            raise RuntimeError
        return good(file, frame=frame)

    second_is_bad.algorithm = good.algorithm
    found = work(store, configured(tmp_path / "c", 1, 9), second_is_bad)
    bring(store, planted(tmp_path, 1, NumberOfFrames=3, SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1"))
    found.all()
    kinds = sorted(each.Modality for each in results(store))
    assert kinds == ["OT", "OT", "SEG", "SEG", "SR", "SR", "SR"]


def test_a_new_engine_makes_a_new_series_that_names_what_it_replaces(tmp_path, store):
    configuration, file = configured(tmp_path / "c", 1, 9), planted(tmp_path, 1)
    bring(store, file)
    work(store, configuration).all()
    old = {each.Modality: each for each in results(store)}
    for result in store.box("archive").results():
        store.box("archive").attempt(result)
        store.box("archive").confirm(result)
    bring(store, file)
    work(store, configuration, bright_segmenter("0.6")).all()
    new = {each.Modality: each for each in results(store)}
    assert set(new) == set(old) == {"SEG", "SR", "OT"}
    assert all(new[kind].SeriesInstanceUID != old[kind].SeriesInstanceUID for kind in new)
    (study,) = new["SR"].PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (item,) = series.ReferencedSOPSequence
    assert item.ReferencedSOPInstanceUID == old["SR"].SOPInstanceUID
    assert series.SeriesInstanceUID == old["SR"].SeriesInstanceUID
    for kind in ("SEG", "OT"):
        (item,) = new[kind].ReferencedImageSequence
        assert item.ReferencedSOPInstanceUID == old[kind].SOPInstanceUID
        assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "REPLACED"
    bring(store, file)  # again by the new one: the same objects
    work(store, configuration, bright_segmenter("0.6")).all()
    assert {each.SOPInstanceUID for each in results(store)} == {each.SOPInstanceUID for each in new.values()}


@pytest.mark.slow
def test_a_stop_between_frames_leaves_the_image_and_the_next_start_makes_the_same(tmp_path, store):
    found = work(store, configured(tmp_path / "c", 1, 9))
    bring(store, planted(tmp_path, 1, NumberOfFrames=3, SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1"))
    calls = []

    def go_on():
        calls.append(1)
        if len(calls) == 3:
            raise StoppedError

    found.go_on = go_on
    with pytest.raises(StoppedError):
        found.all()
    before = {each.SOPInstanceUID for each in results(store)}
    assert len(store.waiting_images()) == 1
    found.go_on = lambda: None
    found.all()
    after = {each.SOPInstanceUID for each in results(store)}
    assert before < after
    assert len(after) == 9


def test_a_full_disk_while_writing_loses_nothing(tmp_path, store, monkeypatch):
    found = work(store, configured(tmp_path / "c", 1, 9))
    bring(store, planted(tmp_path, 1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"):
            found.all()
    assert len(store.waiting_images()) == 1
    found.all()
    assert len(results(store)) == 3


def test_engines_differ_by_weights_settings_and_calibration():
    from dataclasses import replace

    algorithm = bright_segmenter().algorithm
    others = [
        replace(algorithm, weights="0" * 16),
        replace(algorithm, settings={**algorithm.settings, "region": "1"}),
        replace(algorithm, version="9"),
    ]
    engines = {engine_of(each) for each in (algorithm, *others)} | {engine_of(algorithm, {"level": 0.9})}
    assert len(engines) == 5
    assert engine_of(algorithm) == engine_of(replace(algorithm))
