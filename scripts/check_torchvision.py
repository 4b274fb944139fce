#!/usr/bin/env python3
"""Checks that weights can be exchanged with torchvision, in both directions, with the same logits.

    check_torchvision.py [STRIATE]      (needs torch, torchvision, numpy, pillow and safetensors)

1. `striate predict` reads torchvision's resnet18 and googlenet with random weights, as .safetensors and as .pth in PyTorch's current
   format and the one from before 1.6; googlenet has transform_input=True, like its pretrained weights.
2. `striate train` writes a resnet18, which torchvision loads with strict=True.
3. `striate fetch` lists torchvision's files, sizes and accuracies; `striate predict --pretrained` uses files of these names, with
   random weights, with torchvision's preprocessing and class names.

Each time the logits for an image are compared; they may differ by a ten-thousandth of the largest one.
STRIATE is the program, by default target/release/striate.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-4
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "target/release/striate"
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        image = paint(folder / "image.png", 256)
        for name, options in [("resnet18", {}), ("googlenet", {"init_weights": False, "transform_input": True})]:
            net = getattr(torchvision.models, name)(weights=None, **options)
            randomize_batch_norms(net)
            save_file(net.state_dict(), folder / f"{name}.safetensors")
            torch.save(net.state_dict(), folder / f"{name}.pth")
            wrapped = {"state_dict": {f"module.{key}": value for key, value in net.state_dict().items()}}
            torch.save(wrapped, folder / f"{name}-legacy.pth", _use_new_zipfile_serialization=False)
            expected = logits(net, crop(image, 224), MEAN, STD)
            for file in [f"{name}.safetensors", f"{name}.pth", f"{name}-legacy.pth"]:
                found = predict(program, [name, folder / file, folder / "image.png"], len(expected))
                compare(f"torchvision's {file} in striate", found, expected)
        check_striates_weights(program, folder)
        check_pretrained(program, folder / "cache", folder / "image.png")


def check_pretrained(program, cache, image):
    """Uses random weights under the names of pretrained ones."""
    environment = {**os.environ, "STRIATE_CACHE": str(cache)}
    listed = subprocess.run([program, "fetch"], check=True, capture_output=True, text=True, env=environment).stdout
    lines = {line.split()[0]: line.split() for line in listed.splitlines() if "IMAGENET1K" in line.split(" ")[0]}
    (cache / "weights").mkdir(parents=True)
    for name in ["alexnet", "googlenet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]:
        weights = torchvision.models.get_model_weights(name)
        for version in weights:
            file, meta = version.url.rsplit("/", 1)[1], version.meta
            accuracy = meta["_metrics"]["ImageNet-1K"]
            expected = [f"{name}.{version.name}", str(meta["num_params"]), f"{meta['_file_size']:.1f}", "MiB",
                        f"{accuracy['acc@1']:.3f}", "%", f"{accuracy['acc@5']:.3f}", "%", file, "no"]
            if lines.pop(f"{name}.{version.name}") != expected:
                sys.exit(f"striate fetch lists {name}.{version.name} differently: expected {expected}")
        options = {"init_weights": False, "transform_input": True} if name == "googlenet" else {}
        net = getattr(torchvision.models, name)(weights=None, **options)
        randomize_batch_norms(net)
        torch.save(net.state_dict(), cache / "weights" / weights.DEFAULT.url.rsplit("/", 1)[1])
        answer = ask(program, [name, "--pretrained", image], 1000, environment)
        names = [guess["name"] for guess in sorted(answer["pictures"][0]["top"], key=lambda guess: guess["class"])]
        if names != weights.DEFAULT.meta["categories"]:
            sys.exit(f"{name}: the class names differ from torchvision's")
        x = weights.DEFAULT.transforms()(Image.open(image)).double()
        with torch.no_grad():
            expected = net.double().eval()(x[None])[0].numpy()
        compare(f"{name} --pretrained", logits_of(answer), expected)
    if lines:
        sys.exit(f"striate fetch lists {list(lines)}, which torchvision does not have")


def check_striates_weights(program, folder):
    """Loads a resnet18 trained by striate into torchvision."""
    for label, count in [("train/a", 4), ("train/b", 4), ("test/a", 1), ("test/b", 1)]:
        (folder / "data" / label).mkdir(parents=True)
        for number in range(count):
            paint(folder / "data" / label / f"{number}.png", 64)
    run = folder / "run"
    subprocess.run([program, "train", "--model", "resnet18", "--dataset", "folder", "--data", folder / "data",
                    "--image-size", "64x64", "--epochs", "1", "--batch", "4", "--lr", "0.001", "--device", "cpu",
                    "--out", run], check=True, stdout=subprocess.DEVNULL)
    net = torchvision.models.resnet18(num_classes=2)
    net.load_state_dict(load_file(run / "model.safetensors"), strict=True)
    image = paint(folder / "small.png", 64)
    answer = ask(program, [run, folder / "small.png"], 2)
    normalization = answer["preprocessing"]["normalization"]
    compare("striate's resnet18 in torchvision", logits_of(answer), logits(net, image, normalization["mean"], normalization["std"]))


def randomize_batch_norms(net):
    """Makes batch norms look trained, so that ignoring any part of them is noticed."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)


def paint(path, side):
    """Writes an image of random patches and returns its bytes [side, side, 3]."""
    patches = torch.randint(0, 256, (side // 8, side // 8, 3), dtype=torch.uint8).numpy()
    pixels = np.kron(patches, np.ones((8, 8, 1), np.uint8))
    Image.fromarray(pixels).save(path)
    return pixels


def crop(pixels, side):
    start = (pixels.shape[0] - side) // 2
    return pixels[start : start + side, start : start + side]


def logits(net, pixels, mean, std):
    x = torch.from_numpy(pixels).double().permute(2, 0, 1) / 255
    x = (x - torch.tensor(mean).double()[:, None, None]) / torch.tensor(std).double()[:, None, None]
    with torch.no_grad():
        return net.double().eval()(x[None])[0].numpy()


def ask(program, arguments, classes, environment=None):
    command = [program, "predict", *arguments, "--json", "--device", "cpu", "--top", str(classes)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)


def logits_of(answer):
    top = sorted(answer["pictures"][0]["top"], key=lambda guess: guess["class"])
    return np.array([guess["logit"] for guess in top])


def predict(program, arguments, classes):
    return logits_of(ask(program, arguments, classes))


def compare(what, found, expected):
    error = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"{what}: {len(expected)} logits, largest difference {error:.1e} of the largest logit")
    if found.shape != expected.shape or not error <= TOLERANCE:
        sys.exit(f"{what}: the difference exceeds {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
