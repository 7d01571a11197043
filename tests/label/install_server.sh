#!/usr/bin/env bash
# Make an environment in which a MONAI Label server runs this bundle on a CPU.
#
#     tests/label/install_server.sh VENV
#
# A server needs an environment of its own: MONAI Label 0.8.5 imports with numpy below 2 and pydicom below 3 only, while
# our DICOM writers want pydicom 3. Two to four minutes, 3 GB. VENV/.ready appears when all of it is there and imports.
set -euo pipefail
environment=${1:?usage: install_server.sh VENV}
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rm -rf "$environment"
"${PYTHON:-python3}" -m venv "$environment"
python=$environment/bin/python
pip() { "$python" -m pip --disable-pip-version-check install --quiet --no-compile "$@"; } # Python compiles what it imports

# Before all else, or a dependency brings the newest torch and its gigabytes of CUDA.
pip torch==2.13.0
# The server imports torchvision when it starts. Without its dependencies, for it would replace torch.
pip --no-deps torchvision==0.28.0
# Beside a torch without CUDA the compiled part of torchvision does not load, and two registrations that count on it
# then stop the import ("operator torchvision::nms does not exist"). Nothing here calls these operators.
if ! "$python" -W ignore -c 'import torchvision' 2>/dev/null; then
  registrations=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torchvision/_meta_registrations.py
  sed -i -E 's/^(@torch\.library\.register_fake\("torchvision::q?nms"\))/# \1/' "$registrations"
fi

# MONAI Label's own list holds what this app never imports (MLflow, OpenSlide, SAM 2): hence its parts by name.
pip --no-deps monailabel==0.8.5
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
printf '%s\n' torch==2.13.0 torchvision==0.28.0 monai==1.6.1 'numpy<2' 'pydicom<3' >"$constraints"
server=(uvicorn fastapi httpx python-multipart pydantic pydantic-settings python-dotenv pyyaml requests requests-toolbelt
  urllib3 passlib bcrypt pyjwt filelock watchdog schedule timeloop cachetools expiringdict expiring_dict psutil)
images=(SimpleITK pynrrd pydicom-seg pynetdicom dicomweb-client shapely scikit-learn einops)
imported=(setuptools google-auth girder-client) # at start, whatever the settings
pip -c "$constraints" "${server[@]}" "${images[@]}" "${imported[@]}" -e "$repository"

"$python" -W ignore -c 'import monailabel.app, monai_lesion.pipeline.transforms, monai_lesion.networks'
touch "$environment/.ready"
