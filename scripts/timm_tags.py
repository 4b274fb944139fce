"""Writes src/data/preprocess/timm.json: the preprocessing of timm's weights for striate's networks.

    timm_tags.py      (needs timm; made with 1.0.31)

Sizes are those of `timm.data.resolve_model_data_config(model)`.
"""
import json
import pathlib

from timm.data import resolve_data_config
from timm.models import get_pretrained_cfg, list_pretrained

FIELDS = ["input_size", "crop_pct", "interpolation", "mean", "std"]


def main():
    configs = {}
    for network in ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]:
        for name in list_pretrained(f"{network}.*"):
            config = get_pretrained_cfg(name)
            resolved = resolve_data_config(pretrained_cfg=config.to_dict())
            assert resolved["crop_mode"] == "center" and config.first_conv == "conv1", name
            # Weights without classes have no `fc`.
            if config.num_classes:
                configs[name] = {field: resolved[field] for field in FIELDS}
    rows = [f" {json.dumps(name)}: {json.dumps(config)}" for name, config in sorted(configs.items())]
    target = pathlib.Path(__file__).resolve().parent.parent / "src/data/preprocess/timm.json"
    target.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
