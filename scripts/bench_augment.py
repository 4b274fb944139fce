#!/usr/bin/env python3
"""Images per second that one core augments and normalizes, striate beside torchvision with Pillow, as a Markdown table.

    cargo build --release --example bench_augment
    scripts/bench_augment.py target/release/examples/bench_augment      (needs torch, torchvision, pillow and numpy)

Decoded images in memory become normalized floats, on one thread. Rounds alternate between the two; figures are medians.
"""
import statistics
import subprocess
import sys
import time

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms as T

ROUNDS = 5
LARGE = ["none", "resized-crop,flip", "resized-crop,flip,color-jitter", "resized-crop,flip,trivial-augment,erasing"]
SMALL = ["none", "crop,flip", "crop,flip,rotation", "crop,flip,color-jitter", "crop,flip,trivial-augment,erasing"]
STEPS = {
    "resized-crop": lambda: T.RandomResizedCrop(224), "flip": T.RandomHorizontalFlip, "crop": lambda: T.RandomCrop(32, padding=4),
    "rotation": lambda: T.RandomRotation(15), "color-jitter": lambda: T.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "trivial-augment": T.TrivialAugmentWide,
}


def pattern(height, width):
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return Image.fromarray(((x * (c + 1) + y * 2 + x * y // 64) % 256).astype(np.uint8))


def torchvision_rate(size, names):
    names = names.split(",")
    steps = [STEPS[name]() for name in names if name in STEPS] + [T.ToTensor(), T.Normalize([0.5] * 3, [0.25] * 3)]
    compose = T.Compose(steps + [T.RandomErasing()] * ("erasing" in names))
    side, count = (224, 256) if size == "large" else (32, 2048)
    image = pattern(375, 500) if "resized-crop" in names else pattern(side, side)
    start = time.perf_counter()
    for _ in range(count // 32):
        torch.stack([compose(image) for _ in range(32)])
    return count / (time.perf_counter() - start)


def striate_rate(program, size, names):
    return float(subprocess.run([program, size, names], check=True, capture_output=True, text=True).stdout)


def main():
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, pillow {PIL.__version__}; images/s\n")
    print("| images | `--augment` | striate | torchvision |\n| --- | --- | --- | --- |")
    for size, lists in (("large", LARGE), ("small", SMALL)):
        for names in lists:
            rounds = [(striate_rate(sys.argv[1], size, names), torchvision_rate(size, names)) for _ in range(ROUNDS)]
            own, other = (statistics.median(rates) for rates in zip(*rounds))
            print(f"| {size} | `{names}` | {own:,.0f} | {other:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
