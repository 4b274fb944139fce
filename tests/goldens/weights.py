"""Writes weight files with PyTorch, and its logits from a file that striate wrote.

    weights.py      (needs torch, numpy and safetensors; tests/goldens/README.md has the versions)

Reads weights/written.safetensors, which the test `weights` compares with what striate writes, into the same network with
strict=True, and writes weights/*.pth, the other weights/*.safetensors and weights/logits.json.
"""
import copyreg
import json
import os
import pathlib
import pickle
import types
import zipfile

import torch
from safetensors.torch import load_file, save_file

FOLDER = pathlib.Path(__file__).resolve().parent / "weights"


class Small(torch.nn.Module):
    """The same network as in tests/weights/small.rs."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(4)
        self.fc = torch.nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.fc(x.mean(dim=(2, 3)))


class Caller:
    """Unpickling it would call os.system."""

    def __reduce__(self):
        return os.system, ("true",)


class Pickler2017(pickle.Pickler):
    """Pickles tensors and parameters as PyTorch 0.2 did."""

    def reducer_override(self, value):
        if isinstance(value, torch.nn.Parameter):
            # Data, gradient, hooks, requires_grad, volatile.
            state = (value.data, None, {}, True, False)
            return copyreg.__newobj__, (torch.nn.Parameter,), state
        if isinstance(value, torch.Tensor):
            view = (value.storage_offset(), tuple(value.size()), value.stride())
            return torch._utils._rebuild_tensor, (value.storage(), *view)
        return NotImplemented


def compressed(source, target):
    """Writes the same archive with compressed entries."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))


def main():
    net = Small()
    net.load_state_dict(load_file(FOLDER / "written.safetensors"), strict=True)
    net.eval()
    images = torch.tensor([((i * 29) % 97 - 48) / 32 for i in range(2 * 3 * 5 * 5)]).reshape(2, 3, 5, 5)
    with torch.no_grad():
        logits = net.double()(images.double())
    net.float()
    found = {"torch": torch.__version__, "logits": logits.flatten().tolist()}
    (FOLDER / "logits.json").write_text(json.dumps(found, indent=1) + "\n")

    state = net.state_dict()
    cast = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    torch.save(state, FOLDER / "plain.pth")
    wrapped = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in cast.items()}, "best": 0.5}
    torch.save(wrapped, FOLDER / "checkpoint_f16.pth")
    # Weights in another memory format, a view into a larger storage, and a parameter.
    awkward = dict(state)
    awkward["conv1.weight"] = state["conv1.weight"].to(memory_format=torch.channels_last)
    awkward["fc.weight"] = torch.cat([torch.zeros(1, 4), state["fc.weight"]])[1:]
    awkward["fc.bias"] = torch.nn.Parameter(state["fc.bias"])
    torch.save(awkward, FOLDER / "strided.pth")
    torch.save(state, FOLDER / "protocol4.pth", pickle_protocol=4)
    torch.save({name: value.double() for name, value in state.items()}, FOLDER / "f64.pth")
    save_file({name: value.bfloat16() for name, value in state.items()}, FOLDER / "bf16.safetensors")
    save_file({name: value.half() for name, value in state.items()}, FOLDER / "f16.safetensors")

    # The padding written by `torch.save` depends on the length of the name.
    torch.save(state, FOLDER / "a_name_of_21_letters_.pth")

    torch.save(state, FOLDER / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(wrapped, FOLDER / "legacy_checkpoint.pth", _use_new_zipfile_serialization=False)
    of_2017 = types.ModuleType("pickle_2017")
    of_2017.__dict__.update(pickle.__dict__, Pickler=Pickler2017)
    parameters = {name: value if "running" in name else torch.nn.Parameter(value) for name, value in state.items()
                  if value.is_floating_point()}
    torch.save(parameters, FOLDER / "legacy_2017.pth", of_2017, _use_new_zipfile_serialization=False)
    assert torch.load(FOLDER / "legacy_2017.pth", weights_only=True)["fc.bias"].equal(state["fc.bias"])
    torch.save({"conv1.weight": Caller()}, FOLDER / "caller.pth")
    torch.save(net, FOLDER / "module.pth")
    compressed(FOLDER / "plain.pth", FOLDER / "compressed.pth")


if __name__ == "__main__":
    main()
