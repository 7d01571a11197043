"""A MONAI Label app around a bundle: the folder that a server starts from, and what the server runs.

:mod:`monai_lesion.label.server` imports MONAI Label, which needs another environment than the DICOM writers;
the other modules need neither.
"""
