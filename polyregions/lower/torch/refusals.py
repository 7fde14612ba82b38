"""What is refused, and what to say about it."""

from __future__ import annotations

from polyregions.errors import UnsupportedLayerError

_SMOOTH = "polyregions.smooth, which makes a smooth network of a piecewise-linear one"

# Curved functions, and the nearest thing that works.
CURVED = {
    "gelu": "nn.ReLU or nn.LeakyReLU",
    "silu": "nn.ReLU, or nn.Hardtanh",
    "mish": "nn.ReLU",
    "elu": "nn.LeakyReLU",
    "celu": "nn.LeakyReLU",
    "selu": "nn.LeakyReLU",
    "softplus": f"nn.ReLU, its limit (see {_SMOOTH})",
    "log_sigmoid": "nn.ReLU; as the last step it may stay, and is left out",
    "tanh": "nn.Hardtanh",
    "special_expit": "nn.Hardsigmoid; as the last step it may stay, and is left out",
    "sigmoid": "nn.Hardsigmoid; as the last step it may stay, and is left out",
    "softmax": f"a maximum, its limit (see {_SMOOTH}); as the last step it may stay, and is "
    "left out",
    "log_softmax": f"a maximum, its limit (see {_SMOOTH}); as the last step it may stay, and is "
    "left out",
    "logsumexp": f"a maximum, its limit (see {_SMOOTH})",
    "hardswish": "nn.ReLU6",
    "glu": "a maximum of the two halves (maxout)",
    "exp": "nn.ReLU",
    "exp2": "nn.ReLU",
    "expm1": "nn.ReLU",
    "log": "nn.ReLU",
    "log1p": "nn.ReLU",
    "log2": "nn.ReLU",
    "log10": "nn.ReLU",
    "logit": "nn.ReLU",
    "erf": "nn.Hardtanh",
    "sin": "abs, several times over",
    "cos": "abs, several times over",
    "tan": "nn.LeakyReLU",
    "atan": "nn.Hardtanh",
    "asin": "nn.Hardtanh",
    "acos": "nn.Hardtanh",
    "sinh": "nn.LeakyReLU",
    "cosh": "abs",
    "pow": "abs",
    "square": "abs",
    "sqrt": "nn.ReLU",
    "rsqrt": "nn.ReLU",
    "reciprocal": "nn.ReLU of a line",
    "prod": "a sum",
    "cumprod": "a sum",
    "var": "mean or amax of abs",
    "std": "mean or amax of abs",
    "var_mean": "mean or amax of abs",
    "std_mean": "mean or amax of abs",
    "norm": "sum of abs, or amax of abs",
    "linalg_vector_norm": "sum of abs, or amax of abs",
    "frobenius_norm": "sum of abs",
    "dist": "sum of abs",
    "cdist": "sum of abs",
    "cosine_similarity": "a nn.Linear",
    "bilinear": "nn.Linear of the two values joined",
    "layer_norm": "nn.BatchNorm1d in eval mode, whose scale does not depend on the input",
    "native_layer_norm": "nn.BatchNorm1d in eval mode, whose scale does not depend on the input",
    "rms_norm": "nn.BatchNorm1d in eval mode, whose scale does not depend on the input",
    "group_norm": "nn.BatchNorm2d in eval mode, whose scale does not depend on the input",
    "instance_norm": "nn.BatchNorm2d in eval mode, whose scale does not depend on the input",
    "scaled_dot_product_attention": "a stack of nn.Linear and nn.ReLU",
    "lstm": "a stack of nn.Linear and nn.ReLU",
    "gru": "a stack of nn.Linear and nn.ReLU",
    "rnn_tanh": "nn.RNN(nonlinearity='relu') written out step by step",
}

# Functions that jump.
JUMPING = (
    "hardshrink", "sign", "sgn", "round", "floor", "ceil", "heaviside", "trunc", "fix", "frac",
    "fmod", "remainder", "floor_divide", "argmax", "argmin", "signbit", "bernoulli",
    "isnan", "isinf", "nan_to_num",
)  # fmt: skip

# Of those, the ones that may stay as the last step.
PLACES = ("argmax", "argmin")

# Continuous and piecewise linear, but not done, and what may stand in.
UNDONE = {
    "median": "torch.amax or torch.amin, or a mean",
    "nanmedian": "torch.amax or torch.amin, or a mean",
    "sort": "torch.maximum and torch.minimum of two halves",
    "msort": "torch.maximum and torch.minimum of two halves",
    "topk": "torch.amax",
    "kthvalue": "torch.amax or torch.amin",
    "cummax": "torch.maximum, step by step",
    "cummin": "torch.minimum, step by step",
    "fractional_max_pool2d": "nn.MaxPool2d",
    "upsample_linear1d": "nn.Upsample(mode='nearest')",
    "upsample_bilinear2d": "nn.Upsample(mode='nearest')",
    "upsample_bicubic2d": "nn.Upsample(mode='nearest')",
    "grid_sampler": "nn.Upsample(mode='nearest')",
}  # fmt: skip


def refusal(name: str, where: str) -> UnsupportedLayerError:
    """The error for an operation that no handler takes."""
    plain = plain_name(name)
    if plain in CURVED:
        return UnsupportedLayerError(
            f"{where} is not piecewise linear: its graph is curved, so there are no linear "
            f"regions. What works instead: {CURVED[plain]}"
        )
    if plain in PLACES:
        return UnsupportedLayerError(
            f"{where} is not continuous: regions would not meet. What works instead: "
            f"torch.a{plain.removeprefix('arg')}, the value at that place; as "
            "the last step and only output it may stay, and is left out"
        )
    if plain in JUMPING:
        return UnsupportedLayerError(
            f"{where} is not continuous: regions would not meet. What works instead: a "
            "continuous piecewise-linear function such as nn.ReLU or nn.Hardtanh"
        )
    if plain in UNDONE:
        return UnsupportedLayerError(
            f"{where} is piecewise linear, but is not supported. What works instead: "
            f"{UNDONE[plain]}"
        )
    return UnsupportedLayerError(
        f"{where} is not supported. The page on operators in the documentation lists those that "
        "are; if this one is affine or piecewise linear, write it with them"
    )


def is_refused(name: str) -> bool:
    """Whether an operation is known to be beyond what can be lowered."""
    plain = plain_name(name)
    return plain in CURVED or plain in JUMPING or plain in UNDONE


def plain_name(name: str) -> str:
    """An operation's name without the marks of variants in place and inner ones."""
    return name.removesuffix("_").removeprefix("_")
