"""Writes images.json: images scaled and cropped by torchvision's Resize and CenterCrop with Pillow.

    images.py      (needs torch, torchvision and pillow; made with torchvision 0.29.2 and pillow 13.0.0)

tests/data/preprocess.rs creates the same input images.
"""
import json
import pathlib

import PIL
import torchvision
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

# Width and height of the image, size of the shorter side after scaling, size of the crop.
CASES = [(37, 29, 16, 11), (37, 29, 17, 10), (29, 37, 12, 9), (37, 29, 41, 9), (37, 29, 29, 8), (300, 5, 8, 8), (64, 48, 9, 7)]


def image(width, height):
    image = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            image.putpixel((x, y), ((x * 37 + y * 11) % 256, x * y * 13 % 256, (x ^ y) * 29 % 256))
    return image


def main():
    rows = []
    for width, height, resize, crop in CASES:
        for interpolation in InterpolationMode.BILINEAR, InterpolationMode.BICUBIC:
            processed = Compose([Resize(resize, interpolation), CenterCrop(crop)])(image(width, height))
            rows.append({"image": [width, height], "resize": resize, "crop": crop,
                         "interpolation": interpolation.value, "pixels": processed.tobytes().hex()})
    versions = {"torchvision": torchvision.__version__, "pillow": PIL.__version__}
    text = ",\n".join(f" {json.dumps(row)}" for row in rows)
    target = pathlib.Path(__file__).resolve().parent / "images.json"
    target.write_text(f'{{"made with": {json.dumps(versions)}, "cases": [\n{text}\n]}}\n')


if __name__ == "__main__":
    main()
