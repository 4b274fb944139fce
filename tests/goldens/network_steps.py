"""network_steps.json and network_names.json: torchvision's networks, and the GoogLeNet of 2014. Imported by make_goldens.py."""

import functools

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision.models as tv
from torchvision.models.googlenet import GoogLeNet, Inception, InceptionAux

STEPS, BATCH, SIZE, CLASSES = 3, 4, 64, 10
LR, MOMENTUM = 0.001, 0.9
SEED_LABELS, SEED_DROPOUT = 2, 7
MASK64 = (1 << 64) - 1

RECIPE = {
    "hash, fill, labels": "as in resnet20_steps.json; input: fill(seed, [4, 3, 64, 64], sqrt(3)), seed as `input_seed`",
    "seeds": "of a tensor: FNV-1a in 64 bits of its name",
    "tensors": "more than one dimension: fill(seed, shape, bound), bound = sqrt(6 / fan_in) of a convolution, sqrt(3 / fan_in) of a "
    "linear layer; one dimension: running_mean fill(seed, shape, 0.1); running_var 1 + fill(seed, shape, 0.2); biases 0.5 + "
    "fill(seed, shape, 0.1), weights 0.5 + fill(seed, shape, 0.2), so that few relus are near their kink and float32 can follow float64",
    "logits": "of evaluation, from these tensors",
    "training": "mean cross-entropy plus 0.3 times those of the auxiliary heads; SGD with momentum, as PyTorch's",
    "dropout": "element i of the s-th dropout of the forward pass (from 1) is 0 if u < f32(p), else times f32(1 / (1 - p)); "
    "u = (pcg(i ^ pcg(s ^ pcg(step ^ pcg(7)))) >> 8) / 2^24, steps from 0; pcg is PCG's RXS-M-XS",
    "gradients": "of the first step, [elements, norm, dot]: dot is the sum of products with fill(seed + 1, shape, 1), both in f64",
    "changes": "of parameters and running statistics over the steps, [elements, norm, dot]",
    "float32_apart": "how far PyTorch's own float32 is off: logits by the largest, losses each by itself, gradients and changes "
    "each by its norm + 0.001 sqrt(elements)",
}


def hash64(seed, i):
    with np.errstate(over="ignore"):
        z = i * np.uint64(0xD1B54A32D192ED03) + np.uint64(((seed + 1) * 0x9E3779B97F4A7C15) & MASK64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def fill(seed, shape, bound):
    u = (hash64(seed, np.arange(np.prod(shape), dtype=np.uint64)) >> np.uint64(40)).astype(np.float32) / np.float32(16777216)
    return ((2 * u - 1) * np.float32(bound)).reshape(shape)


def fnv(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK64
    return h


def pcg(v):
    with np.errstate(over="ignore"):
        v = np.asarray(v, np.uint32)
        state = v * np.uint32(747796405) + np.uint32(2891336453)
        word = ((state >> ((state >> np.uint32(28)) + np.uint32(4))) ^ state) * np.uint32(277803737)
        return (word >> np.uint32(22)) ^ word


class Dropout(nn.Module):
    def __init__(self, p, stream):
        super().__init__()
        self.p, self.stream, self.step = np.float32(p), np.uint32(stream), 0

    def forward(self, x):
        if not self.training:
            return x
        key = pcg(self.stream ^ pcg(np.uint32(self.step) ^ pcg(np.uint32(SEED_DROPOUT))))
        u = (pcg(np.arange(x.numel(), dtype=np.uint32) ^ key) >> np.uint32(8)).astype(np.float32) / np.float32(16777216)
        scale = np.where(u < self.p, np.float32(0), np.float32(1) / (np.float32(1) - self.p))
        self.step += 1
        return x * torch.from_numpy(scale.reshape(x.shape)).to(x.dtype)


class BiasedConv2d(nn.Module):
    """torchvision's BasicConv2d without batch norm, with biases."""

    def __init__(self, cin, cout, **kwargs):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, bias=True, **kwargs)

    def forward(self, x):
        return F.relu(self.conv(x))


class OriginalInception(Inception):
    """An Inception block with the paper's 5 x 5 convolution."""

    def __init__(self, cin, one, three_from, three, five_from, five, pooled):
        super().__init__(cin, one, three_from, three, five_from, five, pooled, BiasedConv2d)
        self.branch3[1] = BiasedConv2d(five_from, five, kernel_size=5, padding=2)


def googlenet(original):
    if original:
        blocks = [BiasedConv2d, OriginalInception, functools.partial(InceptionAux, conv_block=BiasedConv2d)]
        net = GoogLeNet(CLASSES, init_weights=False, dropout=0.4, blocks=blocks)
        norm = nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)
        net.maxpool1 = nn.Sequential(net.maxpool1, norm)
        net.maxpool2 = nn.Sequential(norm, net.maxpool2)
        net.maxpool4 = nn.MaxPool2d(3, 2, ceil_mode=True)
    else:
        net = GoogLeNet(CLASSES, init_weights=False)
    for stream, module in enumerate([net.aux1, net.aux2, net], 1):
        module.dropout = Dropout(module.dropout.p, stream)
    return net


NETWORKS = {
    "resnet18": lambda: tv.resnet18(num_classes=CLASSES),
    "resnet50": lambda: tv.resnet50(num_classes=CLASSES),
    "googlenet": lambda: googlenet(False),
    "googlenet-original": lambda: googlenet(True),
}


# The input of GoogLeNet keeps ReLUs and max pooling away from their kinks: with most of 15 inputs, changing all weights by a relative
# 3e-7 moves a gradient in float32 by 1e-3 to 6e-2.
INPUT_SEEDS = {"googlenet": 5}


def tensors(net):
    return {k: t for k, t in net.state_dict().items() if t.is_floating_point()}


def set_tensors(net):
    with torch.no_grad():
        for name, t in tensors(net).items():
            seed, shape = fnv(name), tuple(t.shape)
            if t.dim() > 1:
                value = fill(seed, shape, np.sqrt((6 if t.dim() == 4 else 3) / t[0].numel()))
            elif name.endswith("running_mean"):
                value = fill(seed, shape, 0.1)
            elif name.endswith("running_var"):
                value = np.float32(1) + fill(seed, shape, 0.2)
            else:
                value = np.float32(0.5) + fill(seed, shape, 0.1 if name.endswith("bias") else 0.2)
            t.copy_(torch.from_numpy(value))


def norm_and_dot(name, t):
    t = t.detach().double()
    other = torch.from_numpy(fill(fnv(name) + 1, tuple(t.shape), 1.0)).double()
    return [t.numel()] + [float(f"{x.item():.9g}") for x in (t.norm(), (t * other).sum())]


def train(make, input_seed, dtype):
    """Returns logits of evaluation, losses, gradients of the first step, and changes over all steps."""
    net = make()
    set_tensors(net)
    net = net.to(dtype)
    x = torch.from_numpy(fill(input_seed, (BATCH, 3, SIZE, SIZE), np.sqrt(3))).to(dtype)
    y = torch.from_numpy((hash64(SEED_LABELS, np.arange(BATCH, dtype=np.uint64)) % np.uint64(CLASSES)).astype(np.int64))
    logits = net.eval()(x).detach().double().flatten().tolist()
    first = {k: t.clone() for k, t in tensors(net).items()}
    opt = torch.optim.SGD(net.train().parameters(), lr=LR, momentum=MOMENTUM, foreach=False)
    losses, gradients = [], {}
    for step in range(STEPS):
        opt.zero_grad()
        heads = net(x)
        heads = [heads] if torch.is_tensor(heads) else [heads.logits, heads.aux_logits1, heads.aux_logits2]
        loss = sum((0.3 if i else 1.0) * F.cross_entropy(h, y) for i, h in enumerate(heads))
        loss.backward()
        if step == 0:
            gradients = {k: norm_and_dot(k, p.grad) for k, p in net.named_parameters()}
        opt.step()
        losses.append(loss.item())
    changes = {k: norm_and_dot(k, t.double() - first[k].double()) for k, t in tensors(net).items()}
    return dict(logits=logits, losses=losses, gradients=gradients, changes=changes)


def differences(run, want):
    """Largest differences, relative as described in the recipe."""
    logits = max(abs(a - b) for a, b in zip(run["logits"], want["logits"])) / max(map(abs, want["logits"]))
    losses = max(abs(a - b) / b for a, b in zip(run["losses"], want["losses"]))
    scale = lambda elements, norm, dot: norm + 1e-3 * elements**0.5
    of = lambda key: max(abs(a - b) / scale(*want[key][k]) for k in want[key] for a, b in zip(run[key][k], want[key][k]))
    return dict(logits=logits, losses=losses, gradients=of("gradients"), changes=of("changes"))


def make_network_steps():
    networks = {}
    for name, make in NETWORKS.items():
        seed = INPUT_SEEDS.get(name, 1)
        want = train(make, seed, torch.float64)
        f32 = differences(train(make, seed, torch.float32), want)
        print(f"{name}: losses {want['losses']}; float32 from float64:", {k: f"{v:.1e}" for k, v in f32.items()})
        networks[name] = dict(input_seed=seed, **want, float32_apart=f32)
    return dict(steps=STEPS, batch=BATCH, size=SIZE, classes=CLASSES, lr=LR, momentum=MOMENTUM, recipe=RECIPE, networks=networks)


def make_network_names():
    """Per network: number of tensors in the state dict, number of parameters, and FNV-1a of the sorted lines `name [sizes]`."""
    rows = {}
    for name in ["alexnet", "googlenet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]:
        net = getattr(tv, name)(**(dict(init_weights=False, aux_logits=True) if name == "googlenet" else {}))
        lines = sorted(f"{k} {list(t.shape)}\n" for k, t in tensors(net).items())
        parameters = sum(p.numel() for p in net.parameters())
        rows[name] = dict(tensors=len(lines), parameters=parameters, fnv1a=f"{fnv(''.join(lines)):016x}")
    return rows
