#!/usr/bin/env python3
"""The cases of `striate bench` in PyTorch, eager, 32-bit floats without TF32, with the same inputs and the same last line of output.

`torch_bench.py --about` prints PyTorch's version and device, and fails if that cannot be used. `torch_bench.py --stdin` reads a case
with its flags from each line of standard input: starting once saves time."""

import argparse
import json
import math
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

MOMENTUM, WEIGHT_DECAY, LEARNING_RATE = 0.9, 5e-4, 0.01
# Seeds as in src/cli/bench/data.rs.
IMAGES, LABELS, FIRST_OPERAND, SECOND_OPERAND, FIRST_WEIGHT = 1, 2, 3, 4, 100


def signed(word):
    """A 64-bit word as a signed integer, which PyTorch needs. Products and sums wrap like those of unsigned words."""
    word &= (1 << 64) - 1
    return word - (1 << 64) if word >> 63 else word


def mixed(seed, length):
    """SplitMix64's hash of (seed, i), for each i below length."""
    z = torch.arange(length, dtype=torch.int64) * signed(0xD1B54A32D192ED03) + signed((seed + 1) * 0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        z = (z ^ right(z, shift)) * signed(factor)
    return z


def right(z, shift):
    """A logical right shift."""
    return (z >> shift) & ((1 << (64 - shift)) - 1)


def fill(seed, shape, bound):
    """Uniform values in [-bound, bound)."""
    unit = right(mixed(seed, math.prod(shape)), 40).float() / 16777216
    return ((2 * unit - 1) * torch.tensor(bound, dtype=torch.float32)).reshape(shape)


def labels(batch, classes):
    # The remainder of an unsigned word, from its two halves.
    z = mixed(LABELS, batch)
    return (right(z, 32) % classes * (2**32 % classes) + (z & 0xFFFFFFFF) % classes) % classes


def conv_norm(before, after, size, stride=1):
    return [nn.Conv2d(before, after, size, stride, size // 2, bias=False), nn.BatchNorm2d(after)]


class Block(nn.Module):
    """Convolutions of the given sizes beside a shortcut; the first 3 x 3 has the stride."""

    def __init__(self, before, width, sizes, stride):
        super().__init__()
        self.after = width if len(sizes) == 2 else 4 * width
        channels = [before, *[width] * (len(sizes) - 1), self.after]
        layers = []
        for k, size in enumerate(sizes):
            layers += conv_norm(channels[k], channels[k + 1], size, stride if k == sizes.index(3) else 1) + [nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.shortcut = nn.Identity()
        if stride > 1 or before != self.after:
            self.shortcut = nn.Sequential(*conv_norm(before, self.after, 1, stride))

    def forward(self, x):
        return F.relu(self.layers(x) + self.shortcut(x))


class ResNet(nn.Sequential):
    """A ResNet. Each stage but the first halves the images; `large` ones are first reduced to a quarter of their size."""

    def __init__(self, widths, blocks, sizes, large, classes):
        before = widths[0]
        layers = conv_norm(3, before, 7 if large else 3, 2 if large else 1) + [nn.ReLU()]
        if large:
            layers.append(nn.MaxPool2d(3, 2, 1))
        for stage, width in enumerate(widths):
            for block in range(blocks[stage]):
                layers.append(Block(before, width, sizes, 2 if stage > 0 and block == 0 else 1))
                before = layers[-1].after
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))
        weighted = [m for m in self.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        with torch.no_grad():
            for k, m in enumerate(weighted):
                variance = 2 if isinstance(m, nn.Conv2d) else 1
                bound = math.sqrt(3 * variance / m.weight[0].numel())
                m.weight.copy_(fill(FIRST_WEIGHT + k, m.weight.shape, bound))
                if m.bias is not None:
                    m.bias.zero_()


# Widths and blocks of the stages, sizes of a block's convolutions, whether for large images, classes.
NETWORKS = {
    "resnet20": ([16, 32, 64], [3, 3, 3], [3, 3], False, 10),
    "resnet18": ([64, 128, 256, 512], [2, 2, 2, 2], [3, 3], False, 10),
    "resnet50": ([64, 128, 256, 512], [3, 4, 6, 3], [1, 3, 1], True, 1000),
}


class Timer:
    def __init__(self, args):
        self.args, self.ms, self.first_ms = args, [], 0.0

    def measure(self, step):
        for i in range(self.args.warmup + self.args.steps):
            start = time.perf_counter()
            step()
            synchronize(self.args)
            ms = (time.perf_counter() - start) * 1e3
            if i == 0:
                self.first_ms = ms
            if i >= self.args.warmup:
                self.ms.append(ms)


def synchronize(args):
    if args.device == "cuda":
        torch.cuda.synchronize()


def training(args, timer):
    *_, large, classes = NETWORKS[args.case]
    side = 224 if large else 32
    network = ResNet(*NETWORKS[args.case]).to(args.device).train()
    images = fill(IMAGES, (args.batch, 3, side, side), math.sqrt(3)).to(args.device)
    targets = labels(args.batch, classes).to(args.device)
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    losses = []

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    timer.measure(step)
    return dict(case=f"{args.case}-b{args.batch}", samples=args.batch, flops=0, losses=losses)


def repeated(args, timer, work):
    def step():
        for _ in range(args.inner):
            work()

    timer.measure(step)


def matmul(args, timer):
    n = args.size
    a, b = (fill(seed, (n, n), 1).to(args.device) for seed in (FIRST_OPERAND, SECOND_OPERAND))
    repeated(args, timer, lambda: a @ b)
    return dict(case=f"matmul-{n}", samples=args.inner, flops=2 * n**3 * args.inner)


def convolution(args, timer):
    c, h, k, n = args.sizes
    f = args.filter
    # `conv` computes y, `convdx` and `convdw` a gradient, `convbwd` all three.
    x_gradient, w_gradient = args.case in ("convdx", "convbwd"), args.case in ("convdw", "convbwd")
    x = fill(FIRST_OPERAND, (n, c, h, h), 1).to(args.device)
    w = fill(SECOND_OPERAND, (k, c, f, f), 1).to(args.device)
    upstream = torch.ones(n, k, h, h, device=args.device)

    def work():
        if args.case in ("conv", "convbwd"):
            F.conv2d(x, w, padding=f // 2)
        if x_gradient or w_gradient:
            torch.ops.aten.convolution_backward(
                upstream, x, w, None, [1, 1], [f // 2] * 2, [1, 1], False, [0, 0], 1, [x_gradient, w_gradient, False]
            )

    repeated(args, timer, work)
    flops = 2 * n * k * c * f * f * h * h * (3 if args.case == "convbwd" else 1) * args.inner
    size = "" if f == 3 else f"-f{f}"
    return dict(case=f"{args.case}-c{c}-h{h}-k{k}-b{n}{size}", samples=n * args.inner, flops=flops)


def arguments(words=None, given=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--about", action="store_true", help="print PyTorch's version and device")
    parser.add_argument("--stdin", action="store_true", help="read cases from standard input, one a line")
    shared = argparse.ArgumentParser(add_help=False)
    for target in (parser, shared):
        # Flags may come before or after the case; defaults after it must not override values before it.
        late = dict(default=argparse.SUPPRESS) if target is shared else {}
        target.add_argument("--device", choices=["cuda", "cpu"], **({"default": "cuda"} | late))
        target.add_argument("--steps", type=int, **({"default": 10} | late))
        target.add_argument("--warmup", type=int, **({"default": 2} | late))
        target.add_argument("--inner", type=int, **({"default": 1} | late))
    cases = parser.add_subparsers(dest="case")
    for name in NETWORKS:
        cases.add_parser(name, parents=[shared]).add_argument("--batch", type=int, default=32)
    cases.add_parser("matmul", parents=[shared]).add_argument("size", type=int, metavar="N")
    for name in ("conv", "convdx", "convdw", "convbwd"):
        convolutions = cases.add_parser(name, parents=[shared])
        convolutions.add_argument("sizes", type=int, nargs=4, metavar=("C", "H", "K", "BATCH"))
        convolutions.add_argument("--filter", type=int, default=3)
    return parser.parse_args(words, given)


def adapter(args):
    return torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def measure(args):
    """Runs a case, and prints the line of its results."""
    timer = Timer(args)
    run = training if args.case in NETWORKS else matmul if args.case == "matmul" else convolution
    done = run(args, timer)
    median = statistics.median(timer.ms)
    line = dict(
        peer=f"pytorch-{torch.__version__}", backend=args.device, runtime="eager", adapter=adapter(args), case=done["case"],
        steps=args.steps, warmup=args.warmup, min_ms=round(min(timer.ms), 4), median_ms=round(median, 4),
        max_ms=round(max(timer.ms), 4), samples_per_s=round(done["samples"] / median * 1e3, 3),
        gflops=round(done["flops"] / median * 1e-6, 3), first_ms=round(timer.first_ms, 2),
    )
    if "losses" in done:
        line["losses"] = done["losses"]
    print("JSON " + json.dumps(line, separators=(",", ":")), flush=True)


def main():
    args = arguments()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} finds no CUDA device")
    runtime = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, " if args.device == "cuda" else ""
    if args.about or args.case is None and not args.stdin:
        print(f"PyTorch {torch.__version__}, {runtime}{adapter(args)}; eager, float32, TF32 off, cudnn.benchmark on")
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    if not args.stdin:
        return measure(args)
    failed = False
    for line in sys.stdin:
        try:
            measure(arguments(line.split(), argparse.Namespace(**vars(args))))
        except RuntimeError as error:
            # Such as too little memory for one of the cases.
            print(f"error: {line.strip()}: {error}", file=sys.stderr)
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
