"""The 20 training steps of resnet20_steps.json. Imported by make_goldens.py."""

import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

STEPS, BATCH, CLASSES = 20, 16, 10
# A small learning rate: rounding occasionally flips a ReLU, and with a large one two correct engines diverge.
LR, MOMENTUM, WEIGHT_DECAY = 0.0003, 0.9, 5e-4
SEED_INPUT, SEED_LABELS, SEED_FIRST_WEIGHT = 1, 2, 100
MASK64 = (1 << 64) - 1

RECIPE = {
    "hash": "hash(seed, i), all in wrapping u64: z = i * 0xD1B54A32D192ED03 + (seed + 1) * 0x9E3779B97F4A7C15; "
    "z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9; z = (z ^ (z >> 27)) * 0x94D049BB133111EB; hash = z ^ (z >> 31)",
    "fill": "fill(seed, shape, bound): element i in row-major order, in f32: u = f32(hash(seed, i) >> 40) / 16777216; "
    "value = (2 * u - 1) * f32(bound); bound is computed in f64 and rounded once to f32",
    "input": "fill(1, [8, 3, 32, 32], sqrt(3))",
    "labels": "label i = hash(2, i) mod 10, i = 0..7",
    "weights": "the k-th convolution or linear weight, k from 0 in the order of final_weights (a block's downsample.0 after its "
    "conv2, fc last): fill(100 + k, shape, bound), bound = sqrt(6 / (in_channels * kernel_h * kernel_w)) for a convolution, "
    "sqrt(3 / in_features) for fc; fc.bias 0; batch norm weight 1, bias 0, running_mean 0, running_var 1, eps 1e-5, momentum 0.1",
    "network": "conv1 3x3 pad 1 (3 to 16), bn1, relu; layer1, layer2, layer3 of 3 basic blocks each, widths 16, 32, 64, the first block "
    "of layer2 and layer3 with stride 2; a block: conv1 3x3 (its stride), bn1, relu, conv2 3x3, bn2, plus the shortcut, relu; "
    "the shortcut is downsample = 1x1 convolution with the stride and batch norm where shape changes (option B), else the identity; "
    "global average, fc (64 to 10); convolutions have no bias",
    "training": "each step: batch norm in training mode, mean cross-entropy over the same batch of 16, all gradients, then SGD as PyTorch's: "
    "g += weight_decay * w; v = g at the first step, momentum * v + g after; w -= lr * v; weight decay on every parameter, batch norm and "
    "bias too. a loss is that of the forward pass before the update",
    "sums": "sum and sum of squares of each tensor after 20 updates, added up in f64: "
    "of the f64 run (sum, sum_sq) and of the f32 run (sum_f32, sum_sq_f32)",
    "losses": "losses_f64: all arithmetic in f64 from the same f32 input and weights. losses_f32: in f32. "
    "losses_f32_other_order: in f32 with PyTorch's other convolution code (mkldnn off), "
    "so sums are in another order. They part step by step, since rounding flips a few relus",
}


def fill(seed, shape, bound):
    return np.array([fill_one(seed, i) for i in range(math.prod(shape))], np.float32).reshape(shape) * np.float32(bound)


def hash64(seed, i):
    z = (i * 0xD1B54A32D192ED03 + (seed + 1) * 0x9E3779B97F4A7C15) & MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def fill_one(seed, i):
    """2 u - 1, which is exact in f32: a multiple of 2^-23 with at most 24 bits."""
    return 2 * ((hash64(seed, i) >> 40) / 16777216) - 1


class BasicBlock(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        stage = lambda cin, cout, stride: nn.Sequential(BasicBlock(cin, cout, stride), *(BasicBlock(cout, cout, 1) for _ in range(2)))
        self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
        self.fc = nn.Linear(64, CLASSES)
        k = 0
        with torch.no_grad():
            for m in self.modules():  # in the order of creation, which is also that of the forward pass
                if isinstance(m, (nn.Conv2d, nn.Linear)):
                    fan_in = m.weight[0].numel()
                    bound = math.sqrt((6 if isinstance(m, nn.Conv2d) else 3) / fan_in)
                    m.weight.copy_(torch.from_numpy(fill(SEED_FIRST_WEIGHT + k, tuple(m.weight.shape), bound)))
                    if m.bias is not None:
                        m.bias.zero_()
                    k += 1

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def train_resnet20(dtype):
    """Returns losses, sums of parameters, sums of running statistics, and a few values to check inputs."""
    net = ResNet20().train()
    first = net.conv1.weight.detach().flatten()[:4].tolist()
    net = net.to(dtype)
    images = fill(SEED_INPUT, (BATCH, 3, 32, 32), math.sqrt(3))
    labels = [hash64(SEED_LABELS, i) % CLASSES for i in range(BATCH)]
    x, y = torch.from_numpy(images).to(dtype), torch.tensor(labels)
    opt = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, foreach=False)
    losses = []
    for _ in range(STEPS):
        opt.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    sums = lambda t: (t.detach().double().sum().item(), t.detach().double().square().sum().item())
    weights = {k: (list(p.shape), *sums(p)) for k, p in net.named_parameters()}
    stats = {k: (list(b.shape), *sums(b)) for k, b in net.named_buffers() if "running" in k}
    check = dict(input_first4=images.flatten()[:4].tolist(), conv1_weight_first4=first, labels=labels)
    return losses, weights, stats, check


def make_resnet20():
    l64, w64, s64, check = train_resnet20(torch.float64)
    l32, w32, s32, _ = train_resnet20(torch.float32)
    # The same float32 arithmetic with sums in another order shows how much two correct engines may differ.
    torch.backends.mkldnn.enabled = False
    other, _, _, _ = train_resnet20(torch.float32)
    torch.backends.mkldnn.enabled = True
    relative = lambda losses: [abs(a - b) / abs(b) for a, b in zip(losses, l64)]
    print(f"resnet20: loss {l64[0]:.6f} .. {l64[-1]:.6f}; largest relative difference of float32 from float64 "
          f"{max(relative(l32)):.3e}, summed in another order {max(relative(other)):.3e}")
    assert all(map(math.isfinite, l32 + l64 + other))
    row = lambda k, a, b: dict(name=k, shape=a[k][0], sum=a[k][1], sum_sq=a[k][2], sum_f32=b[k][1], sum_sq_f32=b[k][2])
    return dict(steps=STEPS, batch=BATCH, classes=CLASSES, lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY,
                parameters=sum(math.prod(v[0]) for v in w64.values()), recipe=RECIPE, check=check,
                losses_f64=l64, losses_f32=l32, losses_f32_other_order=other,
                relative_differences_f32=relative(l32), relative_differences_f32_other_order=relative(other),
                final_weights=[row(k, w64, w32) for k in w64], final_running_stats=[row(k, s64, s32) for k in s64])
