"""Writes relevance.json: layer-wise relevance propagation of small networks, by zennit.

    relevance.py      (needs torch and zennit; tests/goldens/README.md has the versions)

Weights and images come from the formula of interpret.py. Everything is float64.
"""
import importlib.metadata
import json
import pathlib

import torch
from interpret import pattern, set_weights
from torch.nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Linear, LocalResponseNorm, MaxPool2d, ReLU
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import EpsilonGammaBox
from zennit.layer import Sum
from zennit.rules import Pass

CLASSES = [0, 2]
# The channel of the block whose part of the relevance is followed to the pixels.
CHANNEL = 1
# Of tests/interpret/network.rs: normalized black and white.
MEAN, STD = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.25, 0.2, 0.3])


class MergeBatchNorm(SequentialMergeBatchNorm):
    """zennit's merged batch norm still divides by sqrt(1 + eps), so its network differs from the one it explains by 5e-6 per layer."""

    def register(self, linears, batch_norm):
        super().register(linears, batch_norm)
        self.eps, batch_norm.eps = batch_norm.eps, 0.0

    def remove(self):
        super().remove()
        self.batch_norm.eps = self.eps


class Net(torch.nn.Module):
    """`Net` of interpret.py, with a module for each operation, so that zennit sees them."""

    def __init__(self):
        super().__init__()
        self.conv1 = Conv2d(3, 4, 3, padding=1)
        self.relu1 = ReLU()
        self.conv2 = Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(4)
        self.sum = Sum()
        self.relu2 = ReLU()
        self.pool = MaxPool2d(2)
        self.mean = AdaptiveAvgPool2d(1)
        self.fc = Linear(4, 3)

    def forward(self, x):
        x = self.relu1(self.conv1(x))
        self.block = self.relu2(self.sum(torch.stack([self.bn2(self.conv2(x)), x], dim=-1)))
        return self.fc(self.mean(self.pool(self.block)).flatten(1))


class Branches(torch.nn.Module):
    """`Branches` of interpret.py, with a module for each operation."""

    def __init__(self):
        super().__init__()
        self.conv1 = Conv2d(3, 6, 3, padding=1)
        self.relu1 = ReLU()
        self.norm = LocalResponseNorm(3, alpha=0.5)
        self.pool = MaxPool2d(3, 2, ceil_mode=True)
        self.branch1 = Conv2d(6, 2, 1)
        self.branch2 = Conv2d(6, 3, 3, padding=1)
        self.around = MaxPool2d(3, 1, padding=1, ceil_mode=True)
        self.branch3 = Conv2d(6, 2, 1)
        self.relu2 = ReLU()
        self.mean = AdaptiveAvgPool2d(1)
        self.fc = Linear(7, 3)

    def forward(self, x):
        x = self.pool(self.norm(self.relu1(self.conv1(x))))
        branches = [self.branch1(x), self.branch2(x), self.branch3(self.around(x))]
        self.block = self.relu2(torch.cat(branches, dim=1))
        return self.fc(self.mean(self.block).flatten(1))


def golden(net, images):
    net.eval()
    set_weights(net)
    low, high = [((bound - MEAN) / STD).reshape(1, 3, 1, 1) for bound in (0, 1)]
    rules = EpsilonGammaBox(
        low=low,
        high=high,
        epsilon=1e-6,
        gamma=0.25,
        layer_map=[(LocalResponseNorm, Pass())],
        canonizers=[MergeBatchNorm()],
    )
    found = {}

    def of_class(logits):
        found["logits"] = logits[range(len(CLASSES)), CLASSES].detach()
        return logits.detach() * torch.nn.functional.one_hot(torch.tensor(CLASSES), 3)

    def propagate(at_block):
        def forward(x):
            logits = net(x)
            net.block.register_hook(at_block)
            return logits

        with rules.context(net):
            x = images.clone().requires_grad_()
            logits = forward(x)
            (relevance,) = torch.autograd.grad(logits, x, grad_outputs=of_class(logits))
        return relevance

    def keep(relevance):
        found["block"] = relevance.detach()

    def of_channel(relevance):
        mask = torch.zeros_like(relevance)
        mask[:, CHANNEL] = 1
        return relevance * mask

    found["pixels"] = propagate(keep)
    found["channel"] = propagate(of_channel)
    return {name: tensor.flatten().tolist() for name, tensor in found.items()}


def main():
    images = pattern([2, 3, 8, 8], 9, 1.0)
    networks = {"net": Net(), "branches": Branches()}
    versions = {"torch": torch.__version__, "zennit": importlib.metadata.version("zennit")}
    found = versions | {"classes": CLASSES, "channel": CHANNEL}
    found |= {name: golden(net, images) for name, net in networks.items()}
    path = pathlib.Path(__file__).resolve().parent / "relevance.json"
    path.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
