#!/usr/bin/env python3
"""Checks exported ONNX models: they are valid, and ONNX Runtime computes the logits of `striate predict`.

    check_onnx.py [--tolerance 1e-5] STRIATE [MODEL] WEIGHTS [FLAGS]      (needs numpy, onnx, onnxruntime and pillow)

Exports the network three times: as it is, with --fold-batch-norm, and with --preprocessing and --half. Each model must pass ONNX's
full check, have the symbolic batch size, and give the logits of `striate predict` for three images, one at a time and together, up
to a difference of the tolerance times the largest logit. Prints a row of a Markdown table: network, opset, and the largest
difference of each model. STRIATE is the program; FLAGS are passed to its `export`.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from PIL import Image

VARIANTS = [[], ["--fold-batch-norm"], ["--preprocessing", "--half"]]
IMAGES = 3


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    parser.add_argument("program")
    parser.add_argument("network", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    program, network = arguments.program, arguments.network
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        differences = []
        for flags in VARIANTS:
            path, weights = folder / "model.onnx", folder / "model.safetensors"
            run([program, "export", *network, "--onnx", path, "--safetensors", weights, *flags])
            model = onnx.load(path)
            check(model)
            metadata = {entry.key: entry.value for entry in model.metadata_props}
            images = paint(folder, json.loads(metadata["preprocessing"]))
            # The exported weights, because --half rounds them.
            expected = predict(program, [weights, *images], model.graph.output[0].type.tensor_type.shape.dim[1].dim_value)
            differences.append(compare(path, inputs(images, metadata), expected))
            if not differences[-1] <= arguments.tolerance:
                sys.exit(f"with {flags} the difference {differences[-1]:.1e} exceeds {arguments.tolerance:.0e}")
        opset = model.opset_import[0].version
        print(f"| `{metadata['model']}` | {opset} | " + " | ".join(f"{d:.1e}" for d in differences) + " |")


def check(model):
    onnx.checker.check_model(model, full_check=True)
    graph = model.graph
    for values, name in [(graph.input, "images"), (graph.output, "logits")]:
        if [value.name for value in values] != [name] or values[0].type.tensor_type.shape.dim[0].dim_param != "batch":
            sys.exit(f"expected {name} with the first axis batch, found {values}")
    names = [node.name for node in graph.node]
    if len(set(names)) < len(names) or "" in names:
        sys.exit("nodes must have distinct names")


def paint(folder, preprocessing):
    """Writes images of random patches that are cropped but not scaled."""
    random = np.random.default_rng(1)
    height, width = [preprocessing["resize"]] * 2 if preprocessing["resize"] else preprocessing["size"]
    channels = len(preprocessing["normalization"]["mean"])
    paths = [folder / f"{number}.png" for number in range(IMAGES)]
    for path in paths:
        patches = random.integers(0, 256, (-(-height // 4), -(-width // 4), channels), dtype=np.uint8)
        pixels = np.kron(patches, np.ones((4, 4, 1), np.uint8))[:height, :width]
        Image.fromarray(pixels if channels == 3 else pixels[:, :, 0]).save(path)
    return paths


def inputs(paths, metadata):
    """The images as the model's input."""
    preprocessing = json.loads(metadata["preprocessing"])
    height, width = preprocessing["size"]
    pixels = np.stack([np.atleast_3d(np.asarray(Image.open(path))) for path in paths])
    top, left = (pixels.shape[1] - height) // 2, (pixels.shape[2] - width) // 2
    pixels = pixels[:, top : top + height, left : left + width].transpose(0, 3, 1, 2).astype(np.float64)
    if metadata["input"] == "normalized":
        mean, std = (np.array(preprocessing["normalization"][name])[:, None, None] for name in ("mean", "std"))
        pixels = (pixels / 255 - mean) / std
    return pixels.astype(np.float32)


def run(command):
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        sys.exit(f"{command}: {answer.stderr}")
    return answer.stdout


def predict(program, arguments, classes):
    answer = run([program, "predict", *arguments, "--json", "--device", "cpu", "--top", str(classes)])
    images = json.loads(answer)["pictures"]
    return np.array([[guess["logit"] for guess in sorted(image["top"], key=lambda guess: guess["class"])] for image in images])


def compare(path, images, expected):
    """The largest difference of a logit, as a fraction of the largest logit."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    together = session.run(["logits"], {"images": images})[0]
    alone = np.concatenate([session.run(["logits"], {"images": image[None]})[0] for image in images])
    if together.shape != expected.shape:
        sys.exit(f"expected logits of shape {expected.shape}, found {together.shape}")
    return max(np.abs(found - expected).max() for found in (together, alone)) / np.abs(expected).max()


if __name__ == "__main__":
    main()
