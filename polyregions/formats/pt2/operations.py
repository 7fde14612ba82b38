"""The operations that a saved program may call. Nothing else is ever looked up or called."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from polyregions.errors import FormatError

# What networks of affine layers and piecewise-linear activations are made of.
_PIECEWISE_LINEAR = """
    linear matmul mm bmm mv dot vdot inner outer ger addmm addmv addr baddbmm einsum tensordot
    conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d
    batch_norm _native_batch_norm_legit_no_training dropout feature_dropout alpha_dropout
    feature_alpha_dropout native_dropout
    add sub subtract rsub neg negative addcmul lerp mul multiply div divide true_divide sum mean
    cumsum
    view _unsafe_view _reshape_alias view_as reshape reshape_as flatten unflatten ravel squeeze
    unsqueeze atleast_1d atleast_2d atleast_3d
    permute transpose t numpy_T mT adjoint swapaxes swapdims movedim moveaxis slice select narrow
    split split_with_sizes chunk unbind tensor_split hsplit vsplit unsafe_split
    unsafe_split_with_sizes unsafe_chunk gather index index_select take take_along_dim expand
    expand_as broadcast_to repeat repeat_interleave tile flip fliplr flipud roll rot90 unfold im2col
    pixel_shuffle pixel_unshuffle channel_shuffle diagonal diag diag_embed tril triu
    pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d
    replication_pad2d replication_pad3d _pad_circular upsample_nearest1d upsample_nearest2d
    upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d
    cat concat concatenate stack hstack vstack dstack column_stack block_diag slice_scatter
    select_scatter diagonal_scatter index_put copy
    contiguous clone alias detach to _to_copy type_as lift_fresh_copy positive
    relu abs absolute leaky_relu prelu _prelu_kernel rrelu relu6 hardtanh clamp
    clip clamp_min clamp_max hardsigmoid softshrink threshold where masked_fill gt ge lt le greater
    greater_equal less less_equal logical_not bitwise_not maximum minimum fmax fmin max min amax
    amin
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    _adaptive_avg_pool2d _adaptive_avg_pool3d max_pool1d max_pool2d max_pool3d
    max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool1d
    adaptive_max_pool2d adaptive_max_pool3d
    softmax _softmax log_softmax _log_softmax sigmoid log_sigmoid special_expit
    zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full fill zero arange eye
    scalar_tensor sym_size sym_numel
"""

# Harmless to call, so that lowering can say what is wrong with them and what works instead.
_REFUSED_LATER = """
    tanh gelu silu mish elu celu selu softplus hardswish glu exp log log1p sqrt rsqrt pow square
    reciprocal sin cos layer_norm group_norm instance_norm rms_norm var std prod logsumexp
    linalg_vector_norm scaled_dot_product_attention hardshrink sign round floor ceil trunc frac
    heaviside argmax argmin median sort topk cummax cummin upsample_linear1d upsample_bilinear2d
    upsample_bicubic2d
"""

# What arguments may be: nothing that reaches outside. A program cannot name a generator.
_PLAIN = {"Tensor", "number", "int", "float", "bool", "Device", "Generator"}
# Texts that choose between ways to work.
TEXTS = {
    ("gelu", "approximate"), ("pad", "mode"), ("einsum", "equation"), ("div", "rounding_mode"),
    ("divide", "rounding_mode"), ("conv1d", "padding"), ("conv2d", "padding"),
    ("conv3d", "padding"),
}  # fmt: skip


# What makes tensors of nothing.
_MAKERS = ("zeros", "ones", "full", "arange", "eye", "scalar_tensor")


def _operations() -> Iterator[tuple[str, Any]]:
    for plain in (_PIECEWISE_LINEAR + _REFUSED_LATER).split():
        for name in (plain, f"{plain}_"):  # the latter works in place
            packet = getattr(torch.ops.aten, name, None)
            if packet is None:  # an older torch may lack one
                continue
            for overload in packet.overloads():
                operation = getattr(packet, overload)
                if _is_plain(plain, operation._schema):
                    yield f"torch.ops.aten.{name}.{overload}", operation


def _is_plain(name: str, schema: Any) -> bool:
    """Whether an operation takes only values, and writes into its first argument at most."""
    kinds = [re.sub(r"(List|Optional)\[|\]", "", str(a.type)) for a in schema.arguments]
    for i, (argument, kind) in enumerate(zip(schema.arguments, kinds, strict=True)):
        if i and argument.alias_info is not None and argument.alias_info.is_write:
            return False
        if kind not in _PLAIN and (name, argument.name) not in TEXTS:
            return False
    return "Tensor" in kinds or name in _MAKERS


OPERATIONS: Mapping[str, Any] = dict(_operations())


def _on_integers(function: Callable[..., int | bool]) -> Callable[..., int | bool]:
    def checked(*args: Any) -> int | bool:
        if not all(isinstance(a, int | torch.SymInt) for a in args):
            raise FormatError("is damaged: its sizes are not made of integers")
        return function(*args)

    return checked


# Arithmetic on sizes, where the size of the batch was left open.
ON_INTEGERS: Mapping[str, Callable[..., int | bool]] = {
    f"_operator.{function.__name__}": _on_integers(function)
    for function in (
        operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod, operator.neg,
        operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge,
    )
}  # fmt: skip

# They return nothing and hold for every input the program was made for.
ASSERTIONS = {
    "torch.ops.aten._assert_scalar.default",
    "torch.ops.aten._assert_tensor_metadata.default",
    "torch.ops.aten._assert_async.msg",
    "torch.ops.aten.sym_constrain_range.default",
    "torch.ops.aten.sym_constrain_range_for_size.default",
}

RESHAPES = {
    f"torch.ops.aten.{name}.default" for name in ("view", "_unsafe_view", "reshape", "expand")
}
