"""The cases of ops.json: one function per operation, one line per case. Imported by make_goldens.py.

Expected values are computed in float64 from float32 inputs and rounded once to float32.
"""

import zlib

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

SEED = 20261123

# ---------------------------------------------------------------------------------------------------------
# Recording a case
# ---------------------------------------------------------------------------------------------------------

TENSORS = {}  # the arrays of ops.safetensors, by key
CASES = []  # the rows of ops.json
NAN_ALLOWED = set()  # keys of tensors with intended NaN


class Case:
    """A row of ops.json, and its tensors. Random inputs are seeded by the name, so renaming a case changes its values."""

    def __init__(self, name, config):
        self.name, self.op = name, name.split("/")[0]
        self.rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
        self.row = dict(name=name, op=self.op, config=config, inputs={}, outputs={}, upstream={}, grads={})
        CASES.append(self.row)

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def integers(self, low, high, *shape):
        """Integers from low to high, both included, as float32."""
        return self.rng.integers(low, high, shape, endpoint=True).astype(np.float32)

    def labels(self, n, classes):
        return self.rng.integers(0, classes, n).astype(np.uint32)

    def put(self, kind, name, value, nan=False):
        prefix = dict(inputs="", outputs="out_", upstream="upstream_", grads="grad_")[kind]
        key = f"{self.name}/{prefix}{name}"
        if isinstance(value, torch.Tensor):
            value = value.detach().numpy()
        if value.dtype == np.float64:
            value = value.astype(np.float32)
        assert value.dtype in (np.float32, np.uint32), (key, value.dtype)
        assert key not in TENSORS and value.size > 0, key
        TENSORS[key] = np.ascontiguousarray(value)
        self.row[kind][name] = key
        if nan:
            NAN_ALLOWED.add(key)

    def inputs(self, **arrays):
        """Records float32 inputs. Returns them as float64 leaves that require gradients."""
        leaves = {}
        for name, a in arrays.items():
            self.put("inputs", name, a)
            leaves[name] = torch.from_numpy(a.astype(np.float64)).requires_grad_()
        return leaves

    def output_and_grads(self, name, y, leaves, upstream=None):
        """Records output `y`, a random upstream gradient, and the gradients of `leaves`."""
        self.put("outputs", name, y)
        up = self.normal(*y.shape) if upstream is None else upstream
        self.put("upstream", name, up)
        grads = torch.autograd.grad(y, list(leaves.values()), torch.from_numpy(up.astype(np.float64)))
        for leaf, g in zip(leaves, grads):
            self.put("grads", leaf, g)


# ---------------------------------------------------------------------------------------------------------
# Convolution, matrix products
# ---------------------------------------------------------------------------------------------------------


def conv2d(name, x, weight, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, bias=False):
    c = Case(f"conv2d/{name}", dict(stride=list(stride), padding=list(padding), dilation=list(dilation), groups=groups))
    arrays = dict(x=c.normal(*x), weight=c.normal(*weight))
    if bias:
        arrays["bias"] = c.normal(weight[0])
    t = c.inputs(**arrays)
    y = F.conv2d(t["x"], t["weight"], t.get("bias"), stride, padding, dilation, groups)
    c.output_and_grads("y", y, t)


def make_conv2d():
    conv2d("same3x3", (2, 3, 7, 9), (5, 3, 3, 3), padding=(1, 1))
    conv2d("stride2_pad1", (2, 4, 9, 11), (6, 4, 3, 3), stride=(2, 2), padding=(1, 1))
    # 10 - 3 + 2 = 9 is odd, so with stride 2 no window reaches the last row of the padded image.
    conv2d("stride2_pad1_even", (2, 3, 10, 8), (4, 3, 3, 3), stride=(2, 2), padding=(1, 1))
    conv2d("nonsquare", (2, 3, 10, 7), (4, 3, 3, 5), stride=(3, 2), padding=(0, 2), bias=True)
    conv2d("dilation2", (2, 3, 11, 9), (4, 3, 3, 3), padding=(2, 2), dilation=(2, 2))
    conv2d("groups2", (2, 6, 8, 7), (4, 3, 3, 3), padding=(1, 1), groups=2)
    conv2d("depthwise_bias", (2, 5, 7, 6), (5, 1, 3, 3), padding=(1, 1), groups=5, bias=True)
    conv2d("depthwise_multiplier", (2, 3, 7, 8), (6, 1, 3, 3), stride=(2, 2), padding=(1, 1), groups=3)
    conv2d("pointwise", (3, 7, 5, 6), (9, 7, 1, 1))
    conv2d("pointwise_stride2", (2, 6, 9, 8), (10, 6, 1, 1), stride=(2, 2))
    conv2d("pointwise_pad1_bias", (2, 3, 4, 5), (4, 3, 1, 1), padding=(1, 1), bias=True)
    conv2d("stride_over_kernel", (2, 3, 11, 10), (4, 3, 2, 2), stride=(3, 4))
    conv2d("kernel_over_picture", (2, 2, 3, 4), (3, 2, 5, 7), padding=(2, 3))
    conv2d("batch1_bias", (1, 3, 6, 5), (4, 3, 3, 3), padding=(1, 1), bias=True)
    conv2d("stem7x7", (2, 3, 15, 13), (8, 3, 7, 7), stride=(2, 2), padding=(3, 3))
    conv2d("many_channels", (2, 33, 9, 7), (20, 33, 3, 3), padding=(1, 1))
    conv2d("everything", (2, 4, 13, 12), (6, 2, 3, 2), (2, 1), (1, 2), (2, 3), 2, bias=True)


def matmul(name, a, b, transpose_a=False, transpose_b=False, bias=False):
    """`a` and `b` are the stored shapes; a transposed operand has its last two dimensions swapped before the product."""
    c = Case(f"matmul/{name}", dict(transpose_a=transpose_a, transpose_b=transpose_b))
    arrays = dict(a=c.normal(*a), b=c.normal(*b))
    if bias:
        arrays["bias"] = c.normal(b[-2] if transpose_b else b[-1])
    t = c.inputs(**arrays)
    y = (t["a"].mT if transpose_a else t["a"]) @ (t["b"].mT if transpose_b else t["b"])
    c.output_and_grads("y", y + t["bias"] if bias else y, t)


def make_matmul():
    m, k, n = 5, 7, 3
    for ta in (False, True):
        for tb in (False, True):
            a, b = ((k, m) if ta else (m, k)), ((n, k) if tb else (k, n))
            tag = "nt"[ta] + "nt"[tb]
            matmul(tag, a, b, ta, tb)
            matmul(f"batched_{tag}", (3, *a), (3, *b), ta, tb)
    matmul("bias", (6, 10), (10, 9), bias=True)
    matmul("bias_nt", (17, 33), (19, 33), transpose_b=True, bias=True)
    matmul("batched_bias", (2, 4, 6), (2, 6, 5), bias=True)
    matmul("over_tiles", (67, 35), (35, 66))
    matmul("inner1", (9, 1), (1, 11))
    matmul("row_by_column", (1, 130), (130, 1))


def linear(name, n, inputs, outputs, bias=True):
    c = Case(f"linear/{name}", {})
    arrays = dict(x=c.normal(n, inputs), weight=c.normal(outputs, inputs))
    if bias:
        arrays["bias"] = c.normal(outputs)
    t = c.inputs(**arrays)
    c.output_and_grads("y", F.linear(t["x"], t["weight"], t.get("bias")), t)


def make_linear():
    linear("bias", 5, 12, 7)
    linear("no_bias", 4, 9, 10, bias=False)
    linear("batch1", 1, 64, 10)
    linear("one_output", 6, 11, 1)
    linear("over_tiles", 35, 67, 33)


# ---------------------------------------------------------------------------------------------------------
# Pools
# ---------------------------------------------------------------------------------------------------------


def first_maximum_grad(x, upstream, windows):
    """The gradient of max-pooling by definition, with ties going to the first maximum.

    `windows[i][j]` are the row and column ranges of output (i, j), clipped to the image.
    """
    grad = np.zeros(x.shape)
    for i, line in enumerate(windows):
        for j, (rows, cols) in enumerate(line):
            for n, ch in np.ndindex(x.shape[:2]):
                at = max(((h, w) for h in rows for w in cols), key=lambda p: x[n, ch, p[0], p[1]])
                grad[n, ch, at[0], at[1]] += upstream[n, ch, i, j]
    return grad


def check_first_maximum(case, spans):
    """Asserts that the recorded gradient goes to first maxima. `spans(axis, i)` is the range of window i."""
    t = lambda kind, name: TENSORS[case.row[kind][name]].astype(np.float64)
    x, up = t("inputs", "x"), t("upstream", "y")
    windows = [[(spans(0, i), spans(1, j)) for j in range(up.shape[3])] for i in range(up.shape[2])]
    assert np.allclose(first_maximum_grad(x, up, windows), t("grads", "x"), rtol=1e-6), case.name


def max_pool2d(name, x, kernel_size, stride, padding=(0, 0), ceil_mode=False, ties=False, nan=False):
    c = Case(f"max_pool2d/{name}", dict(kernel_size=list(kernel_size), stride=list(stride), padding=list(padding), ceil_mode=ceil_mode))
    a = c.integers(-2, 2, *x) if ties else c.normal(*x)
    pool = lambda v: F.max_pool2d(v, kernel_size, stride, padding, ceil_mode=ceil_mode)
    if nan:
        a[0, 0, 2, 3] = a[1, 1, 0, 0] = a[1, 2, -1, -1] = np.nan
        c.put("inputs", "x", a, nan=True)
        y = pool(torch.from_numpy(a.astype(np.float64)))
        assert 3 < int(y.isnan().sum()) < y.numel(), "NaN wins each window that holds one, and no other"
        c.put("outputs", "y", y, nan=True)
        return
    t = c.inputs(x=a)
    c.output_and_grads("y", pool(t["x"]), t)

    def spans(axis, i):
        start = i * stride[axis] - padding[axis]
        return range(max(start, 0), min(start + kernel_size[axis], x[2 + axis]))

    check_first_maximum(c, spans)


def make_max_pool2d():
    max_pool2d("plain2x2", (2, 3, 6, 8), (2, 2), (2, 2))
    max_pool2d("odd2x2", (2, 3, 7, 5), (2, 2), (2, 2))
    max_pool2d("overlap_pad1", (2, 4, 9, 7), (3, 3), (2, 2), (1, 1))
    max_pool2d("overlap_stride1", (2, 3, 5, 6), (3, 3), (1, 1), (1, 1))
    max_pool2d("ceil", (2, 3, 8, 7), (3, 3), (2, 2), ceil_mode=True)
    # Here it matters that no window may start in the padding at the end.
    max_pool2d("ceil_pad", (2, 2, 6, 5), (2, 3), (2, 3), (1, 1), ceil_mode=True)
    max_pool2d("nonsquare", (1, 3, 9, 10), (2, 4), (3, 2), (1, 0))
    max_pool2d("ties", (2, 3, 8, 9), (3, 3), (2, 2), (1, 1), ties=True)
    max_pool2d("ties_ceil", (2, 2, 7, 6), (3, 2), (2, 2), ceil_mode=True, ties=True)
    max_pool2d("nan_forward", (2, 3, 7, 8), (3, 3), (2, 2), (1, 1), nan=True)


def avg_pool2d(name, x, kernel_size, stride, padding=(0, 0), ceil_mode=False, count_include_pad=True):
    c = Case(f"avg_pool2d/{name}", dict(kernel_size=list(kernel_size), stride=list(stride), padding=list(padding),
                                        ceil_mode=ceil_mode, count_include_pad=count_include_pad))
    t = c.inputs(x=c.normal(*x))
    c.output_and_grads("y", F.avg_pool2d(t["x"], kernel_size, stride, padding, ceil_mode, count_include_pad), t)


def make_avg_pool2d():
    avg_pool2d("plain2x2", (2, 3, 6, 8), (2, 2), (2, 2))
    avg_pool2d("overlap_pad1", (2, 3, 7, 6), (3, 3), (2, 2), (1, 1))
    avg_pool2d("overlap_pad1_exclude", (2, 3, 7, 6), (3, 3), (2, 2), (1, 1), count_include_pad=False)
    avg_pool2d("ceil", (2, 3, 8, 7), (3, 3), (2, 2), ceil_mode=True)
    avg_pool2d("ceil_pad", (2, 2, 8, 6), (3, 3), (2, 2), (1, 1), ceil_mode=True)
    avg_pool2d("ceil_pad_exclude", (2, 2, 8, 6), (3, 3), (2, 2), (1, 1), ceil_mode=True, count_include_pad=False)
    avg_pool2d("nonsquare", (1, 3, 9, 10), (2, 4), (3, 2), (1, 2))


def adaptive_pool2d(op, name, x, output_size, ties=False):
    c = Case(f"adaptive_{op}_pool2d/{name}", dict(output_size=list(output_size)))
    t = c.inputs(x=c.integers(-2, 2, *x) if ties else c.normal(*x))
    y = {"avg": F.adaptive_avg_pool2d, "max": F.adaptive_max_pool2d}[op](t["x"], output_size)
    c.output_and_grads("y", y, t)
    if op == "max":  # window i of `out` in `size`: floor(i size / out) .. ceil((i + 1) size / out)
        check_first_maximum(c, lambda axis, i: range(i * x[2 + axis] // output_size[axis], -(-(i + 1) * x[2 + axis] // output_size[axis])))


def make_adaptive_pool2d():
    for op in ("avg", "max"):
        adaptive_pool2d(op, "global", (2, 5, 7, 6), (1, 1))
        adaptive_pool2d(op, "divides", (2, 3, 6, 8), (3, 2))
        adaptive_pool2d(op, "overlapping", (2, 3, 7, 10), (3, 4))
        adaptive_pool2d(op, "larger_than_picture", (1, 2, 3, 5), (5, 7))
        adaptive_pool2d(op, "same_size", (2, 2, 4, 3), (4, 3))
    adaptive_pool2d("max", "ties", (2, 3, 7, 9), (3, 4), ties=True)
    adaptive_pool2d("max", "ties_global", (2, 3, 5, 6), (1, 1), ties=True)


# ---------------------------------------------------------------------------------------------------------
# Pointwise, batch norm, shapes, softmax
# ---------------------------------------------------------------------------------------------------------


def make_relu():
    for name, shape in [("picture", (2, 3, 5, 7)), ("rows", (3, 11)), ("over_workgroup", (1, 5, 9, 29)), ("zeros", (2, 2, 4, 5))]:
        c = Case(f"relu/{name}", {})
        # Multiples of 0.5 around 0: about a fifth are exact zeros, whose gradient is 0.
        t = c.inputs(x=c.integers(-2, 2, *shape) / np.float32(2) if name == "zeros" else c.normal(*shape))
        c.output_and_grads("y", F.relu(t["x"]), t)


def batch_norm(name, shape, training, momentum=0.1, eps=1e-5, mean=0.0, scale=1.0, constant_channel=None):
    c = Case(f"batch_norm/{name}", dict(training=training, momentum=momentum, eps=eps))
    x = (c.rng.standard_normal(shape) * scale + mean).astype(np.float32)
    if constant_channel is not None:
        x[:, constant_channel] = 0.75
    channels = shape[1]
    stats = dict(running_mean=(c.normal(channels) + np.float32(mean)).astype(np.float32), running_var=np.exp(c.normal(channels)).astype(np.float32))
    t = c.inputs(x=x, weight=c.normal(channels) + np.float32(1.5), bias=c.normal(channels))
    for key, a in stats.items():
        c.put("inputs", key, a)
    rm, rv = (torch.from_numpy(a.astype(np.float64)) for a in stats.values())
    y = F.batch_norm(t["x"], rm, rv, t["weight"], t["bias"], training, momentum, eps)
    c.output_and_grads("y", y, t)
    if training:
        c.put("outputs", "running_mean", rm)
        c.put("outputs", "running_var", rv)


def make_batch_norm():
    batch_norm("train", (3, 4, 5, 7), True)
    batch_norm("train_momentum_eps", (2, 5, 6, 3), True, momentum=0.3, eps=1e-3)
    batch_norm("train_batch1", (1, 3, 4, 5), True)
    batch_norm("train_1x1_picture", (7, 6, 1, 1), True)
    batch_norm("train_mean1e4", (4, 3, 6, 5), True, mean=1e4)
    batch_norm("train_constant_channel", (2, 3, 4, 4), True, constant_channel=1)
    batch_norm("train_long_reduction", (5, 2, 19, 17), True, mean=0.5, scale=2.0)
    batch_norm("eval", (3, 4, 5, 7), False)
    batch_norm("eval_eps", (1, 5, 3, 4), False, eps=1e-3)
    batch_norm("eval_mean1e4", (2, 3, 4, 5), False, mean=1e4)


def make_shapes():
    for name, shape in [("picture", (2, 3, 5, 7)), ("rows", (3, 11)), ("over_workgroup", (1, 3, 11, 13))]:
        c = Case(f"add/{name}", {})
        t = c.inputs(x0=c.normal(*shape), x1=c.normal(*shape))
        c.output_and_grads("y", t["x0"] + t["x1"], t)
    for name, channels, (n, h, w) in [("equal", (2, 2, 2), (2, 4, 4)), ("unequal", (3, 1, 5), (2, 5, 3)),
                                      ("batch1", (4, 7, 2), (1, 3, 7)), ("1x1_picture", (5, 3, 6), (3, 1, 1))]:
        c = Case(f"concat/{name}", dict(dim=1))
        t = c.inputs(**{f"x{i}": c.normal(n, ch, h, w) for i, ch in enumerate(channels)})
        c.output_and_grads("y", torch.cat(list(t.values()), 1), t)
    for name, shape in [("picture", (2, 3, 5, 7)), ("1x1_picture", (3, 8, 1, 1)), ("batch1", (1, 4, 3, 2))]:
        c = Case(f"flatten/{name}", dict(start_dim=1))
        t = c.inputs(x=c.normal(*shape))
        c.output_and_grads("y", t["x"].flatten(1), t)


def make_local_response_norm():
    # AlexNet's, whose formula has alpha instead of PyTorch's alpha / size; GoogLeNet's; and some with a larger influence of the sum.
    for name, shape, size, alpha, beta, k in [("alexnet", (2, 12, 5, 4), 5, 5e-4, 0.75, 2.0), ("googlenet", (1, 16, 6, 7), 5, 1e-4, 0.75, 1.0),
                                              ("strong", (3, 9, 4, 5), 5, 1.0, 0.75, 1.0), ("even_size", (2, 7, 3, 5), 4, 0.5, 0.75, 1.5),
                                              ("another_power", (2, 6, 5, 3), 3, 2.0, 0.5, 1.0), ("wider_than_the_channels", (2, 3, 4, 4), 9, 1.0, 0.75, 1.0)]:
        c = Case(f"local_response_norm/{name}", dict(size=size, alpha=alpha, beta=beta, k=k))
        t = c.inputs(x=c.normal(*shape) * np.float32(2))
        c.output_and_grads("y", F.local_response_norm(t["x"], size, alpha, beta, k), t)


def huge(c, shape):
    """Logits of 1e4 or -1e4, with at least one of each in dimension 1, and one row of ties."""
    x = np.where(c.rng.random(shape) < 0.5, -1e4, 1e4).astype(np.float32)
    x[:, 0], x[:, 1] = 1e4, -1e4
    x[0] = 1e4
    return x


def make_softmax():
    for op, f in [("softmax", F.softmax), ("log_softmax", F.log_softmax)]:
        rows = [("rows", (5, 10), "normal"), ("one_class", (3, 1), "normal"), ("many_classes", (2, 300), "normal"), ("huge", (6, 7), "huge"),
                ("picture", (2, 5, 3, 4), "normal"), ("picture_huge", (2, 4, 3, 2), "huge"), ("shifted", (4, 9), "shifted")]
        for name, shape, kind in rows:
            c = Case(f"{op}/{name}", dict(dim=1))
            # "shifted": near 1e4 or -1e4 but close together, so that the maximum must be subtracted first.
            x = dict(normal=lambda: c.normal(*shape) * np.float32(3), huge=lambda: huge(c, shape),
                     shifted=lambda: c.normal(*shape) + np.where(np.arange(shape[0]) % 2, 1e4, -1e4).astype(np.float32)[:, None])[kind]()
            t = c.inputs(x=x)
            c.output_and_grads("y", f(t["x"], 1), t)


# ---------------------------------------------------------------------------------------------------------
# Loss and metric
# ---------------------------------------------------------------------------------------------------------


def cross_entropy(name, n, classes, smoothing=0.0, kind="normal"):
    c = Case(f"cross_entropy/{name}", dict(label_smoothing=smoothing))
    x = huge(c, (n, classes)) if kind == "huge" else c.normal(n, classes) * np.float32(2)
    labels = c.labels(n, classes)
    t = c.inputs(logits=x)
    c.put("inputs", "labels", labels)
    loss = F.cross_entropy(t["logits"], torch.from_numpy(labels.astype(np.int64)), label_smoothing=smoothing)
    upstream = c.rng.uniform(0.3, 3.0, 1).astype(np.float32) * c.rng.choice([-1, 1]).astype(np.float32)
    c.output_and_grads("loss", loss.reshape(1), t, upstream)


def cross_entropy_counted(name, n, classes, smoothing=0.0, weighted=False, ignored=0, reduction="mean"):
    """With class weights, ignored rows, and reductions."""
    ignore_index = 200 if ignored else None
    c = Case(f"cross_entropy/{name}", dict(label_smoothing=smoothing, ignore_index=ignore_index, reduction=reduction))
    x, labels = c.normal(n, classes) * np.float32(2), c.labels(n, classes)
    labels[c.rng.permutation(n)[:ignored]] = ignore_index or 0
    t = c.inputs(logits=x)
    c.put("inputs", "labels", labels)
    weights = None
    if weighted:
        array = c.rng.uniform(0.2, 4.0, classes).astype(np.float32)
        array[classes // 2] = 0
        c.put("inputs", "weights", array)
        weights = torch.from_numpy(array.astype(np.float64))
    target = torch.from_numpy(labels.astype(np.int64))
    kw = dict(weight=weights, ignore_index=-100 if ignore_index is None else ignore_index, reduction=reduction)
    loss = F.cross_entropy(t["logits"], target, label_smoothing=smoothing, **kw).reshape(-1)
    upstream = c.rng.uniform(0.3, 3.0, len(loss)).astype(np.float32) * c.rng.choice([-1, 1]).astype(np.float32)
    c.output_and_grads("loss", loss, t, upstream)


def make_cross_entropy():
    cross_entropy("plain", 6, 10)
    cross_entropy("batch1", 1, 10)
    cross_entropy("smoothing", 6, 10, 0.1)
    cross_entropy("smoothing_batch1", 1, 5, 0.1)
    cross_entropy("huge", 5, 7, kind="huge")
    cross_entropy("huge_smoothing", 5, 7, 0.1, kind="huge")
    cross_entropy("two_classes", 9, 2)
    cross_entropy("many_classes", 3, 300, 0.1)
    for reduction in ("mean", "sum", "none"):
        for smoothing in (0.0, 0.1):
            tag = f"{reduction}{'_smoothing' if smoothing else ''}"
            cross_entropy_counted(f"weights_{tag}", 9, 7, smoothing, weighted=True, reduction=reduction)
            cross_entropy_counted(f"ignored_{tag}", 12, 5, smoothing, ignored=5, reduction=reduction)
            cross_entropy_counted(f"both_{tag}", 70, 11, smoothing, weighted=True, ignored=30, reduction=reduction)
    cross_entropy_counted("sum", 6, 10, reduction="sum")
    cross_entropy_counted("none", 65, 10, reduction="none")
    cross_entropy_counted("all_ignored_sum", 4, 3, ignored=4, reduction="sum")


def make_topk_accuracy():
    for name, n, classes, kind in [("plain", 33, 10, "normal"), ("ties", 32, 8, "ties"), ("all_equal", 20, 7, "equal")]:
        for k in (1, 3, 5):
            c = Case(f"topk_accuracy/{name}_top{k}", dict(k=k))
            x = dict(normal=lambda: c.normal(n, classes), ties=lambda: c.integers(-1, 1, n, classes),
                     equal=lambda: np.full((n, classes), 0.25, np.float32))[kind]()
            labels = c.labels(n, classes)
            c.put("inputs", "logits", x)
            c.put("inputs", "labels", labels)
            # rank of the label: number of greater logits + number of equal logits at a smaller index
            own = x[np.arange(n), labels][:, None]
            rank = (x > own).sum(1) + ((x == own) & (np.arange(classes) < labels[:, None])).sum(1)
            correct = int((rank < k).sum())
            assert 0 < correct < n, c.name
            c.put("outputs", "correct", np.array([correct], np.float32))


# ---------------------------------------------------------------------------------------------------------
# Optimizers, clipping
# ---------------------------------------------------------------------------------------------------------


def optimizer(op, name, config, shape=(3, 7), steps=5, zero_grad=False):
    c = Case(f"{op}/{name}", dict(config, steps=steps))
    param, grads = c.normal(*shape), c.normal(steps, *shape)
    if zero_grad:
        grads[:, 0] = 0  # Adam's 0 / (sqrt(0) + eps)
    c.put("inputs", "param", param)
    c.put("inputs", "grads", grads)
    p = torch.from_numpy(param.astype(np.float64)).requires_grad_()
    kw = dict(config)
    if op != "sgd":
        kw["betas"] = (kw.pop("beta1"), kw.pop("beta2"))
    opt = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[op]([p], foreach=False, **kw)
    after = []
    for g in grads:
        p.grad = torch.from_numpy(g.astype(np.float64))
        opt.step()
        after.append(p.detach().clone())
    c.put("outputs", "param", torch.stack(after))


def make_optimizers():
    sgd = lambda lr, momentum=0.0, nesterov=False, weight_decay=0.0: dict(lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
    optimizer("sgd", "plain", sgd(0.1))
    optimizer("sgd", "momentum", sgd(0.1, 0.9))
    optimizer("sgd", "nesterov", sgd(0.05, 0.9, True))
    optimizer("sgd", "weight_decay", sgd(0.1, weight_decay=5e-4))
    optimizer("sgd", "momentum_weight_decay", sgd(0.1, 0.9, weight_decay=5e-4), shape=(4, 3, 3, 3))
    optimizer("sgd", "all", sgd(0.05, 0.9, True, 5e-4), shape=(257,))
    adam = lambda lr, weight_decay, beta1=0.9, beta2=0.999, eps=1e-8: dict(lr=lr, weight_decay=weight_decay, beta1=beta1, beta2=beta2, eps=eps)
    optimizer("adam", "plain", adam(1e-2, 0.0))
    optimizer("adam", "weight_decay", adam(1e-2, 0.01), shape=(4, 3, 3, 3))
    optimizer("adam", "other_betas_eps", adam(3e-3, 0.0, 0.8, 0.95, 1e-4), shape=(257,))
    optimizer("adam", "zero_grads", adam(1e-2, 0.0), zero_grad=True)
    optimizer("adamw", "weight_decay", adam(1e-2, 0.01))
    optimizer("adamw", "large_weight_decay", adam(2e-2, 0.5), shape=(257,))
    optimizer("adamw", "zero_grads", adam(1e-2, 0.01), zero_grad=True)


def make_clip_grad_norm():
    for name, max_norm, scale in [("clips", 1.0, 1.0), ("leaves", 100.0, 1.0), ("clips_large", 2.5, 1e4), ("zero", 1.0, 0.0)]:
        c = Case(f"clip_grad_norm/{name}", dict(max_norm=max_norm))
        params = []
        for i, shape in enumerate([(4, 3, 3, 3), (17,), (5, 11)]):
            g = c.normal(*shape) * np.float32(scale) + np.float32(0)  # + 0 removes negative zeros
            c.put("inputs", f"g{i}", g)
            params.append(torch.zeros(shape, dtype=torch.float64, requires_grad=True))
            params[-1].grad = torch.from_numpy(g.astype(np.float64))
        total = nn.utils.clip_grad_norm_(params, max_norm)
        for i, p in enumerate(params):
            c.put("outputs", f"g{i}", p.grad)
        c.put("outputs", "total_norm", total.reshape(1))


# ---------------------------------------------------------------------------------------------------------
# All of them
# ---------------------------------------------------------------------------------------------------------

MAKERS = (make_conv2d, make_matmul, make_linear, make_max_pool2d, make_avg_pool2d, make_adaptive_pool2d, make_relu, make_batch_norm,
          make_shapes, make_local_response_norm, make_softmax, make_cross_entropy, make_topk_accuracy, make_optimizers, make_clip_grad_norm)


def make_all():
    """Makes all cases. Returns the rows of ops.json and the tensors of ops.safetensors."""
    for make in MAKERS:
        make()
    check_tensors()
    return CASES, TENSORS


def check_tensors():
    """Asserts that there are no unintended NaN, no infinite and no subnormal values (a GPU may flush them), and no upstream of ones."""
    tiny = np.finfo(np.float32).tiny
    for key, a in TENSORS.items():
        if a.dtype != np.float32:
            continue
        assert np.isnan(a).any() == (key in NAN_ALLOWED), f"NaN: {key}"
        assert not np.isinf(a).any(), f"infinite: {key}"
        assert not ((a != 0) & (np.abs(a) < tiny)).any(), f"subnormal: {key}"
        assert "/upstream_" not in key or not (a == 1).any(), f"upstream of ones: {key}"
