"""Work with the archive of a hospital: fetch images, segment them, store the results.

::

    DICOMweb -- archives -- web.segment_study ---------------+                  +-- STOW-RS
                                                             +-- objects -- SEG, SR, SC
    DIMSE -- entrances -- receivers -- queues -- workers ----+                  +-- C-STORE (dimse)

``listeners`` puts the second line together; ``limits`` says how much a peer may ask of either.

Needs requests and pynetdicom: ``pip install "monai-lesion[dicom]"``. See docs/how-to/pacs.md.
"""
