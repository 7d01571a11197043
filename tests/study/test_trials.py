"""What makes two trials compute the same."""

from monai_lesion.study.trials import config_hash


def test_the_hash_of_a_config_leaves_out_where_it_runs_and_keeps_what_it_computes():
    config = {"batch_size": 8, "weight_decay": 0.1, "loss": {"_target_": "DiceLoss"}}
    same = {"_desc_": "x", "ckpt_dir": "y", "seed": 3, "device": "cuda", **dict(reversed(config.items()))}
    assert config_hash(same) == config_hash(config)
    assert config_hash({**config, "weight_decay": 0.2}) != config_hash(config)
    assert config_hash({**config, "loss": {"_target_": "DiceCELoss"}}) != config_hash(config)
