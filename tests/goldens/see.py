"""Gradients, guided backpropagation and Grad-CAM of a small network as PyTorch computes them.

    see.py      (needs torch; tests/goldens/README.md says which)

Writes see.json beside it. Weights and pictures follow a rule, which tests/see/network.rs repeats; all is computed in float64.
"""
import json
import pathlib

import torch

torch.set_default_dtype(torch.float64)


def numbers(shape, seed, scale):
    """Numbers by rule; those of float32 exactly."""
    count = int(torch.tensor(shape).prod())
    return torch.tensor([((i * 37 + seed * 11) % 101 - 50) / 64 * scale for i in range(count)]).reshape(shape)


class Net(torch.nn.Module):
    """Two convolutions, the second with batch norm and a residual; tests/see/network.rs has the same."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(4)
        self.fc = torch.nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        self.block = torch.relu(self.bn2(self.conv2(x)) + x)
        x = torch.nn.functional.max_pool2d(self.block, 2)
        return self.fc(x.mean(dim=(2, 3)))


def main():
    net = Net().eval()
    state = net.state_dict()
    named = [name for name in state if not name.endswith("num_batches_tracked")]
    for seed, name in enumerate(named):
        values = numbers(list(state[name].shape), seed + 1, 0.5)
        state[name] = values.abs() + 0.5 if name.endswith("var") else values
    net.load_state_dict(state)
    images = numbers([2, 3, 8, 8], 9, 2.0)
    classes = [0, 2]

    def gradients(x):
        x = x.clone().requires_grad_()
        logits = net(x)
        net.block.retain_grad()
        sum(logits[i, c] for i, c in enumerate(classes)).backward()
        return logits, x.grad, net.block.grad, net.block.detach()

    logits, gradient, at_block, block = gradients(images)
    cam = torch.relu((at_block.mean(dim=(2, 3), keepdim=True) * block).sum(dim=1))

    # Guided: what reaches a ReLU from above passes only where it is positive.
    class Guided(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clamp(min=0)

        @staticmethod
        def backward(ctx, upstream):
            (x,) = ctx.saved_tensors
            return upstream.clamp(min=0) * (x > 0)

    plain, torch.relu = torch.relu, Guided.apply
    _, guided, _, _ = gradients(images)
    torch.relu = plain

    found = {
        "torch": torch.__version__,
        "classes": classes,
        "logits": logits.flatten().tolist(),
        "gradient": gradient.flatten().tolist(),
        "guided": guided.flatten().tolist(),
        "grad_cam": cam.flatten().tolist(),
    }
    path = pathlib.Path(__file__).resolve().parent / "see.json"
    path.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
