"""Reading and writing pictures: files, DICOM, regions, calibration, overlays."""
