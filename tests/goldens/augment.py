"""Writes augment.json: images changed by torchvision's functional operations with Pillow, and TrivialAugmentWide's strengths.

    augment.py      (needs torch, torchvision and pillow; made with torchvision 0.29.2 and pillow 13.0.0)

Nothing is random. tests/data/image_op.rs creates the same input images. Bytes are hexadecimal, planar.
"""
import json
import pathlib
import zlib

import PIL
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode, TrivialAugmentWide
from torchvision.transforms import functional as F
from torchvision.transforms.autoaugment import _apply_op

# Height and width.
SIZES = [(7, 9), (20, 17), (2, 5), (1, 1)]
OPS = {
    "ShearX": [0.3, -0.99], "ShearY": [0.3, -0.99], "TranslateX": [3, -2, 32], "TranslateY": [3, -2, 32],
    "Rotate": [0.0, 15.0, -30.5, 90.0, 135.0, -180.0], "Brightness": [0.0, 0.5, 1.0, 1.99],
    "Contrast": [0.0, 0.5, 1.0, 1.99], "Color": [0.0, 0.5, 1.0, 1.99], "Sharpness": [0.01, 0.5, 1.0, 1.99],
    "Hue": [0.0, 0.1, -0.1, 0.5, -0.5, 0.333], "Posterize": [8, 4, 2], "Solarize": [255.0, 119.0, 8.5, 0.0],
    "AutoContrast": [0], "Equalize": [0],
}
# Size of the image; top, left, height and width of the part; size of the result.
CROPS = [((20, 17), (3, 2, 11, 9), (7, 9)), ((20, 17), (0, 0, 20, 17), (20, 17)), ((20, 17), (5, 5, 1, 1), (4, 6)),
         ((20, 17), (1, 2, 16, 15), (5, 31)), ((1, 1), (0, 0, 1, 1), (3, 3))]


def picture(mode, height, width):
    """A narrow range of values, so that autocontrast and equalize have work to do."""
    image = Image.new(mode, (width, height))
    for y in range(height):
        for x in range(width):
            pixel = (30 + (x * 37 + y * 11) % 190, 20 + x * y * 13 % 200, 40 + (x ^ y) * 29 % 180)
            image.putpixel((x, y), pixel if mode == "RGB" else pixel[0])
    return image


def planar(image):
    return b"".join(band.tobytes() for band in image.split())


def changed(image, name, value):
    factors = {"Brightness": F.adjust_brightness, "Contrast": F.adjust_contrast, "Color": F.adjust_saturation,
               "Sharpness": F.adjust_sharpness, "Hue": F.adjust_hue}
    if name in factors:
        return factors[name](image, value)
    return _apply_op(image, name, value, InterpolationMode.NEAREST, None)


def main():
    cases = [{"op": name, "value": value, "channels": len(mode), "size": size,
              "pixels": planar(changed(picture(mode, *size), name, value)).hex()}
             for name, values in OPS.items() for value in values for mode in ("RGB", "L") for size in SIZES]
    crops = [{"channels": len(mode), "size": size, "part": part, "scaled": scaled,
              "pixels": planar(F.resized_crop(picture(mode, *size), *part, list(scaled))).hex()}
             for size, part, scaled in CROPS for mode in ("RGB", "L")]
    space = TrivialAugmentWide()._augmentation_space(31)
    strengths = {name: values.tolist() for name, (values, _) in space.items() if values.ndim > 0}
    # All colors whose components are multiples of 5, as checksums.
    bytes_ = range(0, 256, 5)
    colors = Image.new("RGB", (52 * 52, 52))
    colors.putdata([(red, green, blue) for red in bytes_ for green in bytes_ for blue in bytes_])
    checks = [{"op": name, "value": value, "crc32": zlib.crc32(planar(changed(colors, name, value)))}
              for name in ("Hue", "Color", "Contrast") for value in (OPS[name])]
    data = {"made with": {"torchvision": torchvision.__version__, "pillow": PIL.__version__}, "strengths": strengths}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in data.items()]
    for key, rows in (("cases", cases), ("crops", crops), ("all colors", checks)):
        text = ",\n".join(f" {json.dumps(row)}" for row in rows)
        lines.append(f'"{key}": [\n{text}\n]')
    target = pathlib.Path(__file__).resolve().parent / "augment.json"
    target.write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
