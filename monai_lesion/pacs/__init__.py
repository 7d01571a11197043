"""Work with the archive of a hospital: fetch images, segment them, store the results.

::

    DICOMweb -- web.segment_study --------+                  +-- STOW-RS
                                          +-- objects -- SEG, SR, SC
    DIMSE ---- queues -- listeners -------+                  +-- C-STORE

Needs dicomweb-client and pynetdicom: ``pip install "monai-lesion[dicom]"``. See docs/how-to/pacs.md.
"""
