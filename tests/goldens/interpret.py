"""Writes interpret.json: gradients, guided backpropagation and Grad-CAM of small networks.

    interpret.py      (needs torch; tests/goldens/README.md has the version)

Weights and images come from a formula that tests/interpret/network.rs has too. Everything is float64.
"""
import json
import pathlib

import torch
from torch.nn import BatchNorm2d, Conv2d, Linear, LocalResponseNorm, MaxPool2d

torch.set_default_dtype(torch.float64)


def pattern(shape, seed, scale):
    """Values by formula, exact in float32."""
    count = int(torch.tensor(shape).prod())
    return torch.tensor([((i * 37 + seed * 11) % 101 - 50) / 64 * scale for i in range(count)]).reshape(shape)


class Net(torch.nn.Module):
    """Two convolutions, the second with batch norm and a residual; also in tests/interpret/network.rs."""

    def __init__(self):
        super().__init__()
        self.conv1 = Conv2d(3, 4, 3, padding=1)
        self.conv2 = Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(4)
        self.fc = Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        self.block = torch.relu(self.bn2(self.conv2(x)) + x)
        x = torch.nn.functional.max_pool2d(self.block, 2)
        return self.fc(x.mean(dim=(2, 3)))


class Branches(torch.nn.Module):
    """Local response normalization, overlapping max pooling, and concatenated branches; also in tests/interpret/network.rs."""

    def __init__(self):
        super().__init__()
        self.conv1 = Conv2d(3, 6, 3, padding=1)
        self.norm = LocalResponseNorm(3, alpha=0.5)
        self.pool = MaxPool2d(3, 2, ceil_mode=True)
        self.branch1 = Conv2d(6, 2, 1)
        self.branch2 = Conv2d(6, 3, 3, padding=1)
        self.around = MaxPool2d(3, 1, padding=1, ceil_mode=True)
        self.branch3 = Conv2d(6, 2, 1)
        self.fc = Linear(7, 3)

    def forward(self, x):
        x = self.pool(self.norm(torch.relu(self.conv1(x))))
        branches = [self.branch1(x), self.branch2(x), self.branch3(self.around(x))]
        self.block = torch.relu(torch.cat(branches, dim=1))
        return self.fc(self.block.mean(dim=(2, 3)))


class Guided(torch.autograd.Function):
    """A ReLU whose backward pass only passes positive gradients."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return upstream.clamp(min=0) * (x > 0)


def set_weights(net):
    """Sets all weights and running statistics by the formula."""
    state = net.state_dict()
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    for seed, name in enumerate(names):
        values = pattern(list(state[name].shape), seed + 1, 0.5)
        state[name] = values.abs() + 0.5 if name.endswith("var") else values
    net.load_state_dict(state)


def golden(net, images, classes):
    net.eval()
    set_weights(net)

    def gradients(x):
        x = x.clone().requires_grad_()
        logits = net(x)
        net.block.retain_grad()
        sum(logits[i, c] for i, c in enumerate(classes)).backward()
        return logits, x.grad, net.block.grad, net.block.detach()

    logits, gradient, at_block, block = gradients(images)
    cam = torch.relu((at_block.mean(dim=(2, 3), keepdim=True) * block).sum(dim=1))
    plain, torch.relu = torch.relu, Guided.apply
    _, guided, _, _ = gradients(images)
    torch.relu = plain
    results = {"logits": logits, "gradient": gradient, "guided": guided, "grad_cam": cam}
    return {name: tensor.flatten().tolist() for name, tensor in results.items()}


def main():
    images, classes = pattern([2, 3, 8, 8], 9, 2.0), [0, 2]
    networks = {"net": Net(), "branches": Branches()}
    found = {"torch": torch.__version__, "classes": classes}
    found |= {name: golden(net, images, classes) for name, net in networks.items()}
    path = pathlib.Path(__file__).resolve().parent / "interpret.json"
    path.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
