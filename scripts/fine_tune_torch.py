#!/usr/bin/env python3
"""Fine-tunes torchvision's ResNet-18 on a folder of images, for comparison with `striate train`.

    scripts/fine_tune_torch.py FOLDER WEIGHTS [--epochs N] [--lr RATE] [--size PIXELS] [--seed SEED]

FOLDER has train/CLASS, val/CLASS and test/CLASS. WEIGHTS is a safetensors file; its last layer is replaced. Every epoch is
validated, and the weights of the best one are tested, as in striate. Needs torch, torchvision and safetensors.
"""

import argparse
import copy
import time

import torch
from safetensors.torch import load_file
from torch import nn
from torchvision import datasets, models
from torchvision.transforms import v2


def accuracy(model, loader):
    model.eval()
    with torch.no_grad():
        correct = sum((model(images).argmax(1) == labels).sum().item() for images, labels in loader)
    return correct / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("weights")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    normalize = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    augment = v2.Compose([v2.RandomResizedCrop(args.size, scale=(0.5, 1)), v2.RandomHorizontalFlip(), *normalize])
    plain = v2.Compose([v2.Resize(args.size), v2.CenterCrop(args.size), *normalize])
    data = {part: datasets.ImageFolder(f"{args.folder}/{part}", augment if part == "train" else plain) for part in ("train", "val", "test")}
    loaders = {part: torch.utils.data.DataLoader(images, batch_size=32, shuffle=part == "train") for part, images in data.items()}

    model = models.resnet18(num_classes=len(data["train"].classes))
    weights = {name: tensor for name, tensor in load_file(args.weights).items() if not name.startswith("fc.")}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.startswith("fc.") or name.endswith("num_batches_tracked") for name in missing)

    steps = args.epochs * len(loaders["train"])
    warmup = len(loaders["train"]) // 2
    optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warmup, total_iters=warmup),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - warmup),
        ],
        [warmup],
    )
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    best, kept, start = -1.0, None, time.time()
    for epoch in range(args.epochs):
        model.train()
        for images, labels in loaders["train"]:
            optimizer.zero_grad()
            loss(model(images), labels).backward()
            optimizer.step()
            schedule.step()
        validated = accuracy(model, loaders["val"])
        print(f"epoch {epoch + 1}/{args.epochs}  validation accuracy {100 * validated:.2f} %  {time.time() - start:.0f} s", flush=True)
        if validated > best:
            best, kept = validated, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    print(f"test accuracy {100 * accuracy(model, loaders['test']):.2f} %")


if __name__ == "__main__":
    main()
