"""Losses of bench_losses.json: the training steps of `striate bench`. Imported by make_goldens.py."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from resnet20_steps import ResNet20, fill, hash64

STEPS, CLASSES, MOMENTUM, WEIGHT_DECAY = 10, 10, 0.9, 5e-4
SEED_INPUT, SEED_LABELS, SEED_FIRST_WEIGHT = 1, 2, 100


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 5), nn.Conv2d(32, 64, 5)
        self.fc1, self.fc2 = nn.Linear(1024, 128), nn.Linear(128, CLASSES)
        with torch.no_grad():
            for k, m in enumerate((self.conv1, self.conv2, self.fc1, self.fc2)):
                bound = math.sqrt((6 if isinstance(m, nn.Conv2d) else 3) / m.weight[0].numel())
                m.weight.copy_(torch.from_numpy(fill(SEED_FIRST_WEIGHT + k, tuple(m.weight.shape), bound)))
                m.bias.zero_()

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


# The ResNet's learning rate is small: with the command's default, two correct engines differ by more than 1e-4 within ten steps.
CASES = [("lenet", LeNet, (8, 1, 28, 28), 0.001), ("resnet20", ResNet20, (4, 3, 32, 32), 0.0003)]


def losses(network, shape, lr, dtype):
    net = network().train().to(dtype)
    x = torch.from_numpy(fill(SEED_INPUT, shape, math.sqrt(3))).to(dtype)
    y = torch.tensor([hash64(SEED_LABELS, i) % CLASSES for i in range(shape[0])])
    opt = torch.optim.SGD(net.parameters(), lr=lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, foreach=False)
    curve = []
    for _ in range(STEPS):
        opt.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        curve.append(loss.item())
    return curve


def make_bench_losses():
    rows = []
    for name, network, shape, lr in CASES:
        l64, l32 = (losses(network, shape, lr, dtype) for dtype in (torch.float64, torch.float32))
        error = max(abs(a - b) / abs(b) for a, b in zip(l32, l64))
        print(f"bench {name}: loss {l64[0]:.6f} .. {l64[-1]:.6f}; float32 is up to {error:.3e} from float64")
        rows.append(dict(case=name, batch=shape[0], lr=lr, losses_f64=l64, losses_f32=l32))
    return dict(steps=STEPS, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, cases=rows)
