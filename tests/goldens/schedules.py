"""Writes schedules.json: learning rates of PyTorch's schedules, step by step, and the defaults of its optimizers.

    schedules.py      (needs torch; tests/goldens/README.md has the version)
"""
import json
import pathlib
import warnings

import torch
from torch.optim import lr_scheduler as lrs

LR = 0.1


def rates(steps, make):
    """The rate of each step of a schedule for an optimizer with rate LR."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    schedule = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return found


def row(name, steps, decay, make, warmup=0, start_factor=None):
    """A schedule made by `make` for an optimizer and a number of steps, after an optional warm-up."""
    def whole(optimizer):
        if not warmup:
            return make(optimizer, steps)
        rise = lrs.LinearLR(optimizer, start_factor=start_factor, total_iters=warmup)
        return lrs.SequentialLR(optimizer, [rise, make(optimizer, steps - warmup)], milestones=[warmup])

    rest = dict(steps=steps, warmup=warmup, start_factor=start_factor, decay=decay)
    # Some schedules fail at the last step.
    return dict(name=name, **rest, rates=rates(steps - 1, whole))


def cosine(name, steps, eta_min, **kw):
    decay = dict(kind="cosine", eta_min=eta_min)
    return row(name, steps, decay, lambda o, n: lrs.CosineAnnealingLR(o, T_max=n, eta_min=eta_min), **kw)


def polynomial(name, steps, power, **kw):
    decay = dict(kind="polynomial", power=power)
    return row(name, steps, decay, lambda o, n: lrs.PolynomialLR(o, total_iters=n, power=power), **kw)


def milestones(name, steps, at, factor, **kw):
    decay = dict(kind="steps", at=at, factor=factor)
    # Within SequentialLR, milestones count from the end of the warm-up.
    shift = kw.get("warmup", 0)
    make = lambda o, n: lrs.MultiStepLR(o, milestones=[step - shift for step in at], gamma=factor)
    return row(name, steps, decay, make, **kw)


def one_cycle(name, steps, **settings):
    full = dict(pct_start=0.3, div_factor=25.0, final_div_factor=1e4, anneal_strategy="cos", three_phase=False) | settings
    make = lambda o, n: lrs.OneCycleLR(o, max_lr=LR, total_steps=n, cycle_momentum=False, **full)
    return row(name, steps, dict(kind="one_cycle", **full), make)


def make_schedules():
    warnings.simplefilter("ignore")  # SequentialLR calls its schedules out of order, with a warning
    warm = dict(warmup=7, start_factor=0.25)
    rows = [
        row("constant", 20, dict(kind="constant"), lambda o, n: lrs.ConstantLR(o, factor=1.0), **warm),
        cosine("cosine", 30, 0.0),
        cosine("cosine_eta_min", 31, 0.01),
        cosine("cosine_after_warmup", 37, 0.002, **warm),
        polynomial("line", 24, 1.0),
        polynomial("polynomial", 29, 2.0, **warm),
        polynomial("root", 21, 0.5),
        milestones("steps", 25, [5, 12, 13], 0.1),
        milestones("steps_after_warmup", 26, [9, 20], 0.5, **warm),
        one_cycle("one_cycle", 10),
        one_cycle("one_cycle_long", 101),
        one_cycle("one_cycle_linear", 33, anneal_strategy="linear"),
        one_cycle("one_cycle_settings", 50, pct_start=0.45, div_factor=10.0, final_div_factor=100.0),
        one_cycle("one_cycle_three_phase", 60, pct_start=0.4, three_phase=True),
        one_cycle("one_cycle_three_linear", 41, pct_start=0.25, three_phase=True, anneal_strategy="linear"),
    ]
    keys = ("momentum", "weight_decay", "nesterov", "betas", "eps")
    optimizers = dict(sgd=torch.optim.SGD, adam=torch.optim.Adam, adamw=torch.optim.AdamW)
    created = {name: make([torch.zeros(1, requires_grad=True)]).defaults for name, make in optimizers.items()}
    defaults = {name: {k: v[k] for k in keys if k in v} for name, v in created.items()}
    return dict(lr=LR, schedules=rows, defaults=defaults)


def main():
    made = dict(torch=torch.__version__, script="tests/goldens/schedules.py", **make_schedules())
    rows = ",\n".join("  " + json.dumps(row) for row in made.pop("schedules"))
    head = json.dumps(made, indent=1)[:-2]
    out = pathlib.Path(__file__).with_name("schedules.json")
    out.write_text(f'{head},\n "schedules": [\n{rows}\n ]\n}}\n')


if __name__ == "__main__":
    main()
