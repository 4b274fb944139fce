#!/usr/bin/env python3
"""Writes the part of Fashion-MNIST that this folder holds.

    python3 make_subset.py SOURCE OUT

SOURCE holds the four original files (Debian's dataset-fashion-mnist puts them into
/usr/share/datasets/fashion-mnist). OUT gets the first 600 training and the first 100 test images
of every class, in the order of the original files. The output does not depend on the clock, so a
second run writes the same images and labels.
"""

import gzip
import pathlib
import struct
import sys

CLASSES = 10
PER_CLASS = {"train": 600, "t10k": 100}
IMAGES_MAGIC = 0x00000803
LABELS_MAGIC = 0x00000801


def read(path):
    with gzip.open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as raw:
        with gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as file:
            file.write(data)


def first_of_each_class(labels, wanted):
    seen = [0] * CLASSES
    chosen = []
    for index, label in enumerate(labels):
        if seen[label] < wanted:
            seen[label] += 1
            chosen.append(index)
    assert seen == [wanted] * CLASSES, f"too few images: {seen}"
    return chosen


def subset(source, out, part, wanted):
    images_name = f"{part}-images-idx3-ubyte.gz"
    labels_name = f"{part}-labels-idx1-ubyte.gz"
    images, labels = read(source / images_name), read(source / labels_name)
    magic, count, height, width = struct.unpack(">IIII", images[:16])
    assert magic == IMAGES_MAGIC and len(images) == 16 + count * height * width
    assert struct.unpack(">II", labels[:8]) == (LABELS_MAGIC, count) and len(labels) == 8 + count
    pixels, labels, size = images[16:], labels[8:], height * width
    chosen = first_of_each_class(labels, wanted)
    header = struct.pack(">IIII", IMAGES_MAGIC, len(chosen), height, width)
    write(out / images_name, header + b"".join(pixels[i * size : (i + 1) * size] for i in chosen))
    header = struct.pack(">II", LABELS_MAGIC, len(chosen))
    write(out / labels_name, header + bytes(labels[i] for i in chosen))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    for part, wanted in PER_CLASS.items():
        subset(source, out, part, wanted)


if __name__ == "__main__":
    main()
