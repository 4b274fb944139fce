#!/usr/bin/env python3
"""Images per second that one core augments and normalizes, striate beside torchvision with Pillow, as a Markdown table.

    cargo build --release --example bench_augment
    scripts/bench_augment.py target/release/examples/bench_augment [PHOTOS]   (needs torch, torchvision, pillow and numpy)

Decoded images in memory become normalized floats, on one thread. With PHOTOS, a folder of photographs, JPEG files become bytes
of 224 x 224 instead: 300 files of 640 x 480, made from parts of the photographs; images per second of CPU time. Rounds alternate
between the two; figures are medians.
"""
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def write_jpegs(photos, folder, count=300):
    generator = random.Random(0)
    photos = [Image.open(path).convert("RGB") for path in sorted(photos.iterdir())]
    for index in range(count):
        image = photos[index % len(photos)]
        width = generator.uniform(0.7, 1.0) * min(image.width, image.height * 4 / 3)
        left, top = generator.uniform(0, image.width - width), generator.uniform(0, image.height - width * 3 / 4)
        part = image.resize((640, 480), Image.Resampling.BICUBIC, (left, top, left + width, top + width * 3 / 4))
        part.save(folder / f"{index:03}.jpg", quality=90)


def decode_rates(program, photos):
    compose = T.Compose([T.Resize(256), T.CenterCrop(224), T.PILToTensor()])
    with tempfile.TemporaryDirectory() as folder:
        write_jpegs(photos, Path(folder))
        files = sorted(Path(folder).iterdir())
        print(f"{sum(file.stat().st_size for file in files) / len(files) / 1000:.0f} kB per file")
        for _ in range(ROUNDS):
            start = seconds(resource.RUSAGE_CHILDREN)
            striate_rate(program, "files", folder)
            own = seconds(resource.RUSAGE_CHILDREN) - start
            start = seconds(resource.RUSAGE_SELF)
            for file in files:
                compose(Image.open(file).convert("RGB"))
            yield len(files) / own, len(files) / (seconds(resource.RUSAGE_SELF) - start)


def seconds(whose):
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime


def main():
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, pillow {PIL.__version__}; images/s\n")
    if len(sys.argv) > 2:
        own, other = (statistics.median(rates) for rates in zip(*decode_rates(sys.argv[1], Path(sys.argv[2]))))
        return print(f"decoding: striate {own:,.0f}, torchvision {other:,.0f}")
    print("| images | `--augment` | striate | torchvision |\n| --- | --- | --- | --- |")
    for size, lists in (("large", LARGE), ("small", SMALL)):
        for names in lists:
            rounds = [(striate_rate(sys.argv[1], size, names), torchvision_rate(size, names)) for _ in range(ROUNDS)]
            own, other = (statistics.median(rates) for rates in zip(*rounds))
            print(f"| {size} | `{names}` | {own:,.0f} | {other:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
