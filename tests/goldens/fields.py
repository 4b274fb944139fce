#!/usr/bin/env python3
"""Writes fields.onnx: a model, of no use, with every field that striate writes. Needs onnx and numpy."""
import pathlib

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper


def main():
    node = helper.make_node("Conv", ["images", "weight"], ["logits"], name="conv", f=0.0, i=0, ints=[0, 1, 300])
    types = [np.float32, np.float16, np.int64]
    constants = [numpy_helper.from_array(np.arange(6, dtype=t).reshape(2, 3), f"constant{t.__name__}") for t in types]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3], doc) for name, doc in
              [("images", "a description"), ("logits", "")]]
    graph = helper.make_graph([node], "fields", [values[0]], [values[1]], constants)
    values[1].ClearField("doc_string")
    model = ModelProto(ir_version=8, producer_name="onnx", producer_version="1", doc_string="all fields", graph=graph)
    model.opset_import.add().version = 17
    model.metadata_props.add(key="key", value="text")
    pathlib.Path(__file__).with_name("fields.onnx").write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
