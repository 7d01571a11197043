"""The bundle under NVIDIA FLARE's simulator, where FLARE has an environment: docs/how-to/federated.md."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import torch

from tests.bundles.test_federated import BUNDLE, LOCAL_EPOCHS, OPTIONS, write_centres

FLARE = os.environ.get("MONAI_LESION_FLARE", "")
CLIENT = """
import json, os, sys
import nvflare.client as flare
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject

flare.init()
site = flare.get_site_name()
chosen = json.load(open(sys.argv[1]))
centre = {"site-1": "a", "site-2": "b"}[site]
folder = f"{chosen['folder']}/{site}"
options = {**chosen["options"], "manifest": f"{chosen['folder']}/{centre}.json"}
options |= {"ckpt_dir": folder, "output_dir": folder}
client = MonaiAlgo(chosen["bundle"], local_epochs=chosen["local_epochs"], send_weight_diff=False,
                   config_evaluate_filename="configs/train.json",
                   train_kwargs=dict(options), eval_kwargs=dict(options))
client.initialize({ExtraItems.CLIENT_NAME: site})
while flare.is_running():
    received = flare.receive()
    shared = ExchangeObject(weights=received.params)
    metrics = client.evaluate(shared).metrics
    client.train(shared)
    sent = {name: tensor.cpu() for name, tensor in client.get_weights().weights.items()}
    flare.send(flare.FLModel(params=sent, metrics={"val_loss": metrics["val_loss"]}))
"""
JOB = """
import json, sys
from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
from nvflare.recipe import SimEnv

chosen = json.load(open(sys.argv[1]))
network = dict(chosen["options"]["network_def"])
recipe = FedAvgRecipe(name="lesions", model={"class_path": network.pop("_target_"), "args": network}, min_clients=2,
                      num_rounds=2, train_script="client.py", train_args=sys.argv[1], key_metric="val_loss",
                      key_metric_mode="min")
print(recipe.execute(SimEnv(num_clients=2, workspace_root=chosen["folder"] + "/flare")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not FLARE, reason="MONAI_LESION_FLARE names no Python with nvflare and this package")
def test_two_centres_share_a_network_under_flare(tmp_path):
    write_centres(tmp_path)
    (tmp_path / "client.py").write_text(CLIENT)
    (tmp_path / "job.py").write_text(JOB)
    chosen = {"folder": str(tmp_path), "bundle": str(BUNDLE), "options": OPTIONS, "local_epochs": LOCAL_EPOCHS}
    (tmp_path / "chosen.json").write_text(json.dumps(chosen))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [FLARE, "job.py", str(tmp_path / "chosen.json")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    for site in ("site-1", "site-2"):
        log = (tmp_path / site / "metrics.csv").read_text().splitlines()
        assert len(log) == 1 + 2 * LOCAL_EPOCHS
    files = [path for path in (tmp_path / "flare").rglob("*.pt") if "model" in path.name.lower()]
    assert files, "the server keeps the shared network"
    state = torch.load(files[0], map_location="cpu", weights_only=True)
    shared = state.get("model", state)
    states = [torch.load(tmp_path / site / "last.ckpt", weights_only=True)["network"] for site in ("site-1", "site-2")]
    for name, tensor in states[0].items():
        if tensor.is_floating_point():
            mean = (tensor + states[1][name]) / 2
            torch.testing.assert_close(torch.as_tensor(shared[name]), mean, atol=1e-5, rtol=1e-4)
