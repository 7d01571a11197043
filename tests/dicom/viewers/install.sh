#!/usr/bin/env bash
# Install two readers of DICOM Segmentations that are not ours: Cornerstone3D's (OHIF) and dcmqi (3D Slicer).
#
#     tests/dicom/viewers/install.sh FOLDER
#
# Needs node 20, npm and a registry of each kind. About two minutes, 200 MB. FOLDER/.ready appears when all is there.
set -euo pipefail
folder=${1:?usage: install.sh FOLDER}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rm -rf "$folder"
mkdir -p "$folder"
cp "$here/package.json" "$here/read_segmentation.mjs" "$folder"
npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --no-package-lock
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check dcmqi==1.5.7
touch "$folder/.ready"
