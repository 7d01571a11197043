"""To the archive of a hospital and back: fetch, segment, store.

::

    DICOMweb -- web.segment_study --------+                  +-- STOW-RS
                                          +-- objects -- SEG, SR, SC
    DIMSE ---- queues -- listeners -------+                  +-- C-STORE

Needs dicomweb-client and pynetdicom: ``pip install "monai-lesion[dicom]"``. See docs/how-to/pacs.md.
"""
