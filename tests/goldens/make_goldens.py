#!/usr/bin/env python3
"""Generates striate's golden files with PyTorch.

    python3 tests/goldens/make_goldens.py            # writes to the folder of this script
    python3 tests/goldens/make_goldens.py --out DIR  # writes to DIR, for comparison

Needs Python 3.10 or later with `torch` and `torchvision` (CPU builds are enough), `numpy` and `safetensors`.

Writes
  ops.safetensors, ops.json   single operations: inputs, outputs, upstream gradients, gradients;
                              optimizers over several steps; gradient clipping
  resnet20_steps.json         20 training steps of a ResNet-20 on synthetic data, in float32 and float64
  bench_losses.json           10 training steps of two networks as in `striate bench`, likewise
  network_steps.json          3 training steps of torchvision's networks and of the GoogLeNet of 2014, in float64
  network_names.json          names and shapes of torchvision's networks, as a hash

Inputs are float32 (labels are uint32). Expected values are computed from them in float64 and rounded once to
float32, so they are true values without the rounding errors of another engine. Only the values named `*_f32*`
in the training runs are computed in float32.

The cases are in op_cases.py, the training runs in resnet20_steps.py, network_steps.py and
bench_losses.py.

Deterministic: fixed seed, one thread, CPU. Each case draws from a generator seeded with SEED and the case's
name, so a new case leaves the others as they are.
"""

import argparse
import json
import pathlib
import sys

sys.dont_write_bytecode = True

import numpy as np
import torch
from safetensors.numpy import save_file

import torchvision

import bench_losses
import network_steps
import op_cases
import resnet20_steps

SCRIPT = "tests/goldens/make_goldens.py"


def dump(value, indent=0):
    """Readable JSON: objects and lists of objects are split into lines."""
    flat = json.dumps(value, allow_nan=False)
    pad = " " * (indent + 1)
    if isinstance(value, dict) and value and (indent == 0 or len(flat) > 1200):
        body = (f"{pad}{json.dumps(k)}: {dump(v, indent + 1)}" for k, v in value.items())
        return "{\n" + ",\n".join(body) + "\n" + " " * indent + "}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(pad + dump(v, indent + 1) for v in value) + "\n" + " " * indent + "]"
    return flat


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    out = p.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    print(f"torch {torch.__version__}, numpy {np.__version__}, seed {op_cases.SEED}")
    torch.manual_seed(op_cases.SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    cases, tensors = op_cases.make_all()
    counts = {}
    for row in cases:
        counts[row["op"]] = counts.get(row["op"], 0) + 1
    print(f"{len(cases)} cases, {len(tensors)} tensors:", ", ".join(f"{op} {n}" for op, n in counts.items()))
    save_file(tensors, out / "ops.safetensors")
    ops = dict(torch=torch.__version__, seed=op_cases.SEED, script=SCRIPT, cases=cases)
    (out / "ops.json").write_text(dump(ops) + "\n")
    steps = dict(torch=torch.__version__, script=SCRIPT, **resnet20_steps.make_resnet20())
    (out / "resnet20_steps.json").write_text(dump(steps) + "\n")
    bench = dict(torch=torch.__version__, script=SCRIPT, **bench_losses.make_bench_losses())
    (out / "bench_losses.json").write_text(dump(bench) + "\n")
    versions = dict(torch=torch.__version__, torchvision=torchvision.__version__, script=SCRIPT)
    networks = dict(versions, **network_steps.make_network_steps())
    (out / "network_steps.json").write_text(dump(networks) + "\n")
    names = dict(versions, **network_steps.make_network_names())
    (out / "network_names.json").write_text(dump(names) + "\n")
    for name in ("ops.safetensors", "ops.json", "resnet20_steps.json", "bench_losses.json", "network_steps.json", "network_names.json"):
        print(f"{name}: {(out / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
