"""Every operation that is lowered, against torch's own, and every one that is refused."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import polyregions as pr
from polyregions.forward import NetworkForward
from polyregions.lower.torch.refusals import CURVED, JUMPING, UNDONE
from polyregions.lower.torch.traced import HANDLERS
from polyregions.rounding import forward_bound
from polyregions.torch_forward import TorchForward

ATEN = torch.ops.aten


@cache
def const(*shape):
    """The same numbers at every call."""
    generator = torch.Generator().manual_seed(len(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class Model(nn.Module):
    """A function of doubles as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.register_buffer("one", torch.ones((), dtype=torch.float64))
        if isinstance(function, nn.Module):
            function.double().eval()

    def forward(self, x):
        return self.function(x)


def check(function, shape):
    """Lower, and compare values and pieces with torch's at random points."""
    model = function if isinstance(function, torch.export.ExportedProgram) else Model(function)
    network = pr.lower(model, shape=shape)
    forward = TorchForward(model, shape=shape, network=network)
    xy = np.random.default_rng(1).normal(scale=2, size=(50, network.n_inputs))
    sample = forward.sample(xy, with_jacobian=False)
    bound = forward_bound(network, xy, sample.precision)
    assert (np.abs(sample.values - network(xy)) <= bound.values).all()
    assert bound.values.max() < 1e-8
    assert sample.unseen == ""
    own = NetworkForward(network).sample(xy, with_jacobian=False)
    assert sample.pattern.shape == own.pattern.shape == (50, network.n_units)
    with np.errstate(invalid="ignore"):
        near = np.abs(sample.preactivation - own.preactivation)
    assert ((near <= bound.preactivations) | (near == np.inf) | np.isnan(near)).all()
    np.testing.assert_array_equal(sample.pattern, own.pattern)
    return network


W, V, B5 = const(5, 6), const(6, 5), const(5)
# Of shape (2, 3, 4) unless told.
MOVES = {
    "view": lambda x: x.view(-1, 6, 4),
    "_unsafe_view": lambda x: ATEN._unsafe_view(x, [x.shape[0], 24]),
    "reshape": lambda x: x.reshape(-1, 3, 8),
    "flatten": lambda x: x.flatten(1, 2),
    "unflatten": lambda x: x.unflatten(3, (2, 2)),
    "unsqueeze": lambda x: x.unsqueeze(2),
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "ravel": None,
    "view_as": lambda x: x.view_as(torch.zeros(x.shape[0], 8, 3)),
    "reshape_as": lambda x: x.reshape_as(torch.zeros(x.shape[0], 8, 3)),
    "permute": lambda x: x.permute(0, 3, 1, 2),
    "transpose": lambda x: x.transpose(1, -1),
    "mT": lambda x: x.mT,
    "adjoint": lambda x: x.adjoint(),
    "swapaxes": lambda x: x.swapaxes(1, 2),
    "swapdims": lambda x: x.swapdims(1, 2),
    "movedim": lambda x: torch.movedim(x, 1, 3),
    "moveaxis": lambda x: torch.moveaxis(x, 1, 3),
    "slice": lambda x: x[:, :, ::2, 1:3],
    "select": lambda x: x[:, 1, -1],
    "narrow": lambda x: x.narrow(3, 1, 2),
    "split": lambda x: torch.cat(x.split(3, dim=3)[::-1], 3),
    "split_with_sizes": lambda x: torch.cat(x.split_with_sizes([1, 3], 3)[::-1], 3),
    "chunk": lambda x: x.chunk(2, dim=3)[1],
    "unbind": lambda x: x.unbind(2)[2],
    "tensor_split": lambda x: torch.tensor_split(x, 3, dim=3)[0],
    "hsplit": lambda x: torch.hsplit(x, 2)[1],
    "gather": lambda x: x.gather(3, torch.tensor([[[[3, 0, 3]]]]).expand(x.shape[0], 1, 2, 3)),
    "index": lambda x: x[:, :, [1, 0, 1], [0, 3, 2]],
    "index_select": lambda x: x.index_select(2, torch.tensor([2, 2, 0])),
    "take_along_dim": lambda x: x.take_along_dim(torch.tensor([[[[1]]]]), dim=3),
    "expand": lambda x: x[:, :1].expand(-1, 5, -1, -1),
    "expand_as": lambda x: x[:, :1].expand_as(x),
    "broadcast_to": lambda x: torch.broadcast_to(x[:, :1], x.shape),
    "repeat": lambda x: x.repeat(1, 2, 1, 3),
    "repeat_interleave": lambda x: x.repeat_interleave(2, dim=2),
    "tile": lambda x: x.tile(2),
    "flip": lambda x: x.flip(1, 3),
    "fliplr": lambda x: x.fliplr(),
    "roll": lambda x: x.roll((1, -1), (2, 3)),
    "rot90": lambda x: x.rot90(1, (2, 3)),
    "unfold": lambda x: x.unfold(3, 2, 1),
    "im2col": lambda x: F.unfold(x, 2, padding=1),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x.view(-1, 4, 2, 3), 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x[:, :, :2], 2),
    "channel_shuffle": lambda x: F.channel_shuffle(x.transpose(1, 3), 2),
    "diagonal": lambda x: x.diagonal(1, 2, 3),
    "diag_embed": lambda x: torch.diag_embed(x[:, 0, 0]),
    "tril": lambda x: x.tril(),
    "triu": lambda x: x.triu(1),
    "upsample_nearest1d": lambda x: F.interpolate(x[:, 0], scale_factor=1.5),
    "upsample_nearest2d": lambda x: F.interpolate(x, size=(5, 7)),
    "upsample_nearest3d": lambda x: F.interpolate(x[:, None], scale_factor=2),
    "_upsample_nearest_exact1d": lambda x: F.interpolate(x[:, 0], size=7, mode="nearest-exact"),
    "_upsample_nearest_exact2d": lambda x: F.interpolate(x, size=(5, 7), mode="nearest-exact"),
    "_upsample_nearest_exact3d": lambda x: F.interpolate(
        x[:, None], size=(3, 2, 3), mode="nearest-exact"
    ),
    "pad": lambda x: torch.cat(
        [F.pad(x, (1, 2, 0, 1), value=0.5)]
        + [F.pad(x, (1, 2, 0, 1), mode=m) for m in ("reflect", "replicate", "circular")],
        dim=1,
    ),
    "_pad_circular": lambda x: ATEN._pad_circular(x, [1, 1, 0, 1]),
    "_reshape_alias": lambda x: ATEN._reshape_alias(x, [x.shape[0], 24], [24, 1]),
    "unsafe_split": lambda x: ATEN.unsafe_split(x, 1, 1)[1],
    "unsafe_split_with_sizes": lambda x: ATEN.unsafe_split_with_sizes(x, [1, 3], 3)[1],
    "unsafe_chunk": lambda x: ATEN.unsafe_chunk(x, 2, 3)[1],
    "lift_fresh_copy": lambda x: ATEN.lift_fresh_copy(x),
    "constant_pad_nd": lambda x: ATEN.constant_pad_nd(x, [1, -1, 2, 0], 3.0),
    "reflection_pad1d": lambda x: ATEN.reflection_pad1d(x[:, 0], [1, 1]),
    "reflection_pad2d": lambda x: ATEN.reflection_pad2d(x, [1, 1, 1, 0]),
    "reflection_pad3d": lambda x: ATEN.reflection_pad3d(x[:, None], [1, 1, 1, 0, 0, 1]),
    "replication_pad1d": lambda x: ATEN.replication_pad1d(x[:, 0], [1, 1]),
    "replication_pad2d": lambda x: ATEN.replication_pad2d(x, [1, 1, 2, 0]),
    "replication_pad3d": lambda x: ATEN.replication_pad3d(x[:, None], [1, 1, 2, 0, 0, 1]),
    "cat": lambda x: torch.cat([x, -x, torch.ones(x.shape[0], 2, 1, 4).double()], dim=2),
    "concat": lambda x: torch.concat([x, -x], dim=2),
    "concatenate": lambda x: torch.concatenate([x, -x], dim=2),
    "stack": lambda x: torch.stack([x, 2 * x, torch.zeros_like(x)], dim=2),
    "hstack": lambda x: torch.hstack([x, -x]),
    "dstack": lambda x: torch.dstack([x, -x]),
    "column_stack": lambda x: torch.column_stack([x, -x]),
    "slice_scatter": lambda x: x.slice_scatter(-x[:, :1], 1, 0, 1),
    "select_scatter": lambda x: x.select_scatter(-x[:, 0], 1, 1),
    "index_put": lambda x: ATEN.index_put(x, [None, torch.tensor([1])], -x[:, :1]),
    "diagonal_scatter": lambda x: x.diagonal_scatter(x[..., 0], 0, 2, 3),
    "copy": lambda x: ATEN.copy(x, -x),
    "contiguous": lambda x: x.permute(0, 2, 1, 3).contiguous(),
    "clone": lambda x: x.clone(),
    "alias": lambda x: ATEN.alias(x),
    "detach": lambda x: x.detach(),
    "to": lambda x: x.to(torch.float64),
    "_to_copy": lambda x: ATEN._to_copy(x, dtype=torch.float64),
    "type_as": lambda x: x.type_as(x),
    "positive": lambda x: +x,
    "zeros_like": lambda x: x + torch.zeros_like(x),
    "ones_like": lambda x: x - torch.ones_like(x),
    "full_like": lambda x: x - torch.full_like(x, 0.5),
    "new_zeros": lambda x: x + x.new_zeros(4),
    "new_ones": lambda x: x + x.new_ones(4),
    "new_full": lambda x: x + x.new_full((4,), 2.0),
}
MOVES = {name: function for name, function in MOVES.items() if function}


@pytest.fixture
def used(monkeypatch):
    """The operations that were lowered."""
    names = set()

    def watched(name, handler):
        def handle(*args, **kwargs):
            names.add(name)
            return handler(*args, **kwargs)

        return handle

    for name, handler in HANDLERS.items():
        monkeypatch.setitem(HANDLERS, name, watched(name, handler))
    return names


@pytest.mark.parametrize("name", MOVES)
def test_moves(name, used):
    network = check(MOVES[name], (2, 3, 4))
    assert name in used
    assert network.n_units == 0


# Of shape (6,) unless told.
AFFINE = {
    "add": lambda x: x + 2 * x[:, :1] + const(6) + torch.add(x, x.flip(1), alpha=0.3) + 1,
    "sub": lambda x: (torch.sub(x, x.flip(1), alpha=3) - const(4, 1, 1) - 0.5).transpose(0, 1),
    "subtract": lambda x: torch.subtract(x, 0.25),
    "rsub": lambda x: torch.rsub(x, x.flip(1), alpha=2) + torch.rsub(x, 3.0),
    "neg": lambda x: -x,
    "negative": lambda x: torch.negative(x),
    "mul": lambda x: (x * const(3, 1, 6) * 0.3).movedim(1, 0),
    "multiply": lambda x: torch.multiply(x, 3),
    "div": lambda x: x / 3 / const(6) / torch.tensor(2.0),
    "divide": lambda x: torch.divide(x, 3),
    "true_divide": lambda x: torch.true_divide(x, 3),
    "addcmul": lambda x: (
        torch.addcmul(x, x, const(6), value=0.5) + torch.addcmul(x, const(6), const(6))
    ),
    "lerp": lambda x: torch.lerp(x, x.flip(1), 0.3) + torch.lerp(const(6), x, const(6)),
    "sum": lambda x: (
        x.view(-1, 2, 3).sum((1, 2), keepdim=True) + x.view(-1, 2, 3).sum(1)[..., None]
    ),
    "mean": lambda x: x.view(-1, 2, 3).mean(2) + x.mean(1, keepdim=True),
    "cumsum": lambda x: x.view(-1, 2, 3).cumsum(1) + x.view(-1, 2, 3).cumsum(2),
    "linear": lambda x: F.linear(x.view(-1, 2, 3), const(4, 3), const(4)),
    "matmul": lambda x: torch.cat(
        [
            x @ V,
            (W @ x[..., None])[..., 0],
            x @ V[:, 0][:, None],
            (const(4, 2) @ x.view(-1, 2, 3)).flatten(1),
            x.view(-1, 2, 3) @ const(3),
            (x.view(-1, 2, 1, 3) @ const(2, 3, 5)).flatten(1),
            (W @ x.T).T,
        ],
        dim=1,
    ),
    "numpy_T": lambda x: (W @ x.T).T,
    "t": lambda x: (W @ x.t()).t(),
    "mm": lambda x: x.mm(V),
    "mv": lambda x: x.mv(const(6))[:, None],
    "inner": lambda x: torch.inner(x, W),
    "addmm": lambda x: (
        torch.addmm(B5, x, V)
        + torch.addmm(x[:, :5], x, V, beta=2, alpha=0.5)
        + torch.addmm(x[:, :1], x, V)
    ),
    "addmv": lambda x: torch.addmv(const(1), x, const(6), beta=0.5)[:, None],
    "einsum": lambda x: torch.cat(
        [
            torch.einsum("bi,oi->bo", x, W),
            torch.einsum("bij,jk->bk", x.view(-1, 2, 3), const(3, 4)),
            torch.einsum("kj,bij->bikj", const(2, 3), x.view(-1, 2, 3)).flatten(1),
            torch.einsum("bii->bi", x[:, :4].view(-1, 2, 2)),
            torch.einsum("bij->bj", x.view(-1, 2, 3)),
        ],
        dim=1,
    ),
    "tensordot": lambda x: torch.tensordot(x, W, dims=([1], [1])),
    "dropout": nn.Dropout(0.5),
    "alpha_dropout": nn.AlphaDropout(0.5),
    "feature_dropout": lambda x: F.dropout2d(x.view(-1, 2, 3, 1), training=False),
    "feature_alpha_dropout": lambda x: F.feature_alpha_dropout(x.view(-1, 2, 3), training=False),
    "fill": lambda x: x + x.clone().fill_(2.0),
    "zero": lambda x: x + x.clone().zero_(),
}


@pytest.mark.parametrize("name", AFFINE)
def test_affine_operations(name, used):
    network = check(AFFINE[name], (6,))
    assert name in used
    assert network.n_units == 0


def one_at_a_time(function):
    def forward(x):
        if x.shape != (6,):
            raise ValueError("one point at a time")
        return function(x)

    return forward


UNBATCHED = {
    "dot": lambda x: x.dot(const(6)),
    "vdot": lambda x: torch.vdot(const(6), x),
    "outer": lambda x: torch.outer(x, const(3)),
    "ger": lambda x: torch.ger(const(3), x),
    "addr": lambda x: torch.addr(const(3, 6), const(3), x, beta=0.5, alpha=2),
    "bmm": lambda x: torch.bmm(const(2, 5, 3), x.view(2, 3, 1)),
    "baddbmm": lambda x: torch.baddbmm(const(2, 1, 1), const(2, 5, 3), x.view(2, 3, 1), alpha=2),
    "take": lambda x: x.take(torch.tensor([5, 0])),
    "flipud": lambda x: x.flipud(),
    "vstack": lambda x: torch.vstack([x, -x]),
    "vsplit": lambda x: torch.vsplit(x.view(2, 3), 2)[1],
    "diag": lambda x: x.view(2, 3).diag(),
    "block_diag": lambda x: torch.block_diag(x.view(2, 3), x[:2]),
    "atleast_1d": lambda x: torch.atleast_1d(x[0]),
    "atleast_2d": lambda x: torch.atleast_2d(x),
    "atleast_3d": lambda x: torch.atleast_3d(x),
    "ravel": lambda x: x.view(2, 3).T.ravel(),
}


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # of taking
@pytest.mark.parametrize("name", UNBATCHED)
def test_models_of_one_point(name, used):
    network = check(one_at_a_time(UNBATCHED[name]), (6,))
    assert name in used
    assert network.n_units == 0


def batch_norm(kind, n):
    norm = kind(n)
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.1, 2)
    nn.init.uniform_(norm.weight, -2, 2)
    nn.init.uniform_(norm.bias, -2, 2)
    return norm


# Of shape (2, 3, 4, 5).
LAYERS = {
    "conv1d": lambda x: F.conv1d(x[:, 0, 0], const(3, 4, 2), const(3), stride=2, padding=1),
    "conv2d": lambda x: torch.cat(
        [
            F.conv2d(x[:, 0], const(6, 1, 3, 3), padding="same", groups=3),
            F.conv2d(x[:, 1], const(6, 3, 2, 3), const(6), padding=1)[:, :, :4],
        ],
        dim=1,
    ),
    "conv3d": lambda x: F.conv3d(x, const(2, 2, 2, 2, 2), padding=1),
    "convolution": lambda x: torch.cat(
        [
            ATEN.convolution(
                x[:, 0], const(4, 3, 2, 2), const(4), [1, 2], [1, 1], [1, 1], False, [0, 0], 1
            ).flatten(1),
            ATEN.convolution(
                x[:, 0], const(3, 2, 2, 2), None, [2, 1], [0, 0], [1, 1], True, [1, 0], 1
            ).flatten(1),
        ],
        dim=1,
    ),
    "conv_transpose1d": lambda x: F.conv_transpose1d(x[:, 0, 0], const(4, 2, 3), stride=2),
    "conv_transpose2d": lambda x: F.conv_transpose2d(
        x[:, 0], const(3, 2, 2, 3), const(2), stride=(2, 1), padding=1, output_padding=(1, 0)
    ),
    "conv_transpose3d": lambda x: F.conv_transpose3d(x, const(2, 1, 2, 2, 2), groups=2),
    "batch_norm": lambda x: torch.cat([NORM2(x[:, 0]).flatten(1), NORM1(x[:, 0, 0]).flatten(1)], 1),
    "_native_batch_norm_legit_no_training": lambda x: ATEN._native_batch_norm_legit_no_training(
        x[:, 0], const(3), const(3), const(3), const(3) ** 2, 0.1, 1e-3
    )[0],
    "native_dropout": lambda x: ATEN.native_dropout(x, 0.5, False)[0],
    "_adaptive_avg_pool2d": lambda x: ATEN._adaptive_avg_pool2d(x[:, 0], [2, 3]),
    "_adaptive_avg_pool3d": lambda x: ATEN._adaptive_avg_pool3d(x, [1, 2, 3]),
    "avg_pool1d": lambda x: F.avg_pool1d(x[:, 0, 0], 3, 2, 1),
    "avg_pool2d": lambda x: F.avg_pool2d(x[:, 0], 2, ceil_mode=True, count_include_pad=False),
    "avg_pool3d": lambda x: F.avg_pool3d(x, (1, 2, 2), stride=1),
    "adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(x[:, 0, 0], 3),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x[:, 0], (2, 1)),
    "adaptive_avg_pool3d": lambda x: F.adaptive_avg_pool3d(x, (2, 2, 5)),
}
NORM1, NORM2 = batch_norm(nn.BatchNorm1d, 4), batch_norm(nn.BatchNorm2d, 3)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, used):
    NORM1.double().eval(), NORM2.double().eval()
    network = check(LAYERS[name], (2, 3, 4, 5))
    assert name in used
    assert network.n_units == 0


def where(x):
    a = torch.where(x > 0.5, 2 * x, x + 0.5)
    return a + torch.where(-x <= 0, x, 0.0) + x.masked_fill(~(x > -1), -1.0)


HALVES = torch.nn.Linear(6, 6).double()
nn.init.uniform_(HALVES.weight, -1, 1), nn.init.uniform_(HALVES.bias, -1, 1)
# Choices that are continuous because of what the values are made of, with their units.
CHOICES = {
    "of a layer that is called again": (
        lambda x: torch.where(HALVES(x) > 0, HALVES(x), 0.25 * HALVES(x)), 6
    ),
    "of the larger value": (lambda x: torch.where(x > x.flip(1), x, x.flip(1)), 6),
    "of the smaller value": (lambda x: torch.where(x[:, :2] <= x[:, 2:4], x[:, :2], x[:, 2:4]), 2),
    "by a difference": (
        lambda x: torch.where(x[:, :1] - x[:, 1:2] < 0, x[:, 1:2] - x[:, :1], 0.0), 1
    ),
    "of more entries than are compared": (
        lambda x: torch.where(x[:, :1] > 0.5, x[:, 1:] + x[:, :1], x[:, 1:] + 0.5), 5
    ),
    "within a choice": (  # a soft shrink, as some exporters write it
        lambda x: torch.where(x > 0.5, x - 0.5, torch.where(x < -0.5, x + 0.5, 0.0 * x)), 12
    ),
    "within a choice, the other way round": (
        lambda x: torch.where(x < -0.5, x + 0.5, torch.where(x > 0.5, x - 0.5, 0.0 * x)), 12
    ),
    "of values that are the same": (lambda x: torch.where(x > 0.5, x, x), 6),
    "of multiples": (
        lambda x: torch.where(3 * x[:, :3] > x[:, 3:], 3 * x[:, :3] + x[:, 3:], 2 * x[:, 3:]), 3
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_continuous_choices(name):
    function, n_units = CHOICES[name]
    network = check(function, (6,))
    assert network.n_units == n_units
    plane = pr.Slice(const(6).numpy(), *const(2, 6).numpy())
    part = pr.partition(network, (-2, 2), slice=plane)
    assert len(part) == len(pr.partition(network, (-2, 2), slice=plane, engine="rational"))
    assert pr.verify(part, Model(function), resolution=20).ok


def test_choices_within_choices_that_do_not_meet():
    def gap(x):
        return torch.where(x > 0.5, x - 0.5, torch.where(x < 0.75, x - 0.75, 0.0 * x))

    with pytest.raises(pr.UnsupportedLayerError, match="jumps in general"):
        pr.lower(Model(gap), shape=(6,))


LOW, HIGH = (
    torch.tensor([-1.0, 0, 1, -torch.inf, 2, -2]),
    torch.tensor([0.5, 1, 1, 0, torch.inf, 2]),
)
# Function, number of pieces of each unit, units, of shape (6,).
UNITS = {
    "relu": (F.relu, [2], 6),
    "abs": (torch.abs, [2], 6),
    "absolute": (torch.absolute, [2], 6),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.1), [2], 6),
    "rrelu": (nn.RReLU(0.1, 0.4), [2], 6),
    "rrelu_with_noise": (
        lambda x: ATEN.rrelu_with_noise(x, torch.zeros(x.shape), 0.1, 0.4, False), [2], 6
    ),
    "prelu": (
        lambda x: F.prelu(x, const(6)) + F.prelu(x.view(-1, 2, 3), const(2)).flatten(1), [2, 2], 12
    ),
    "_prelu_kernel": (lambda x: ATEN._prelu_kernel(x, const(1, 6)), [2], 6),
    "relu6": (lambda x: ATEN.relu6(4 * x), [3], 6),
    "hardtanh": (lambda x: F.hardtanh(x, -0.3, 2), [3], 6),
    "clamp": (lambda x: x.clamp(-1, 0.3) + x.clamp(LOW, HIGH), [3, 3], 12),
    "clamp by values": (
        lambda x: torch.clamp(x, x.flip(1) - 1, torch.tensor(0.5)) + x.clamp(max=2 * x + 1),
        [2, 2, 2], 18,
    ),
    "clip": (lambda x: torch.clip(x, max=0.3), [2], 6),
    "clamp_min": (lambda x: x.clamp_min(0.3) + x.clamp_min(LOW), [2, 2], 12),
    "clamp_max": (lambda x: x.clamp_max(0.3) + x.clamp_max(HIGH), [2, 2], 12),
    "hardsigmoid": (F.hardsigmoid, [3], 6),
    "softshrink": (lambda x: F.softshrink(x, 0.3), [3], 6),
    "threshold": (lambda x: F.threshold(x, 0.3, 0.3), [2], 6),
    "where": (where, [2, 2, 2], 18),
    "gt": (lambda x: torch.where(x > 0, x, -x), [2], 6),
    "ge": (lambda x: torch.where(x >= 0, x, -x), [2], 6),
    "lt": (lambda x: torch.where(x < 0, -2 * (3 * x), 0.0), [2], 6),
    "le": (lambda x: torch.where(x <= 1, 2 * x - 2, x - 1), [2], 6),
    "greater": (lambda x: torch.where(torch.greater(x, 0), x, 0.0), [2], 6),
    "less": (lambda x: torch.where(torch.less(x, 0), x, 0.0), [2], 6),
    "greater_equal": (lambda x: torch.where(torch.greater_equal(x, 0), x, 0.0), [2], 6),
    "less_equal": (lambda x: torch.where(torch.less_equal(x, 0), x, 0.0), [2], 6),
    "masked_fill": (lambda x: x.masked_fill(x < 0, 0.0), [2], 6),
    "logical_not": (lambda x: x.masked_fill(torch.logical_not(x > 0), 0.0), [2], 6),
    "bitwise_not": (lambda x: x.masked_fill(~(x > 0), 0.0), [2], 6),
    "maximum": (lambda x: torch.maximum(x, x.flip(1)) + torch.maximum(x, const(6)), [2, 2], 12),
    "minimum": (lambda x: torch.minimum(x, x.flip(1)) + torch.minimum(const(6), x), [2, 2], 12),
    "fmax": (lambda x: torch.fmax(x, x.flip(1)), [2], 6),
    "fmin": (lambda x: torch.fmin(x, x.flip(1)), [2], 6),
    "max": (
        lambda x: torch.max(x, x.flip(1)) + x.max(1, keepdim=True).values
        + x.view(-1, 3, 2).max(1)[0].repeat(1, 3),
        [2, 6, 3], 9,
    ),
    "min": (lambda x: x.view(-1, 3, 2).min(dim=1)[0] + x.min(1, True)[0], [3, 6], 3),
    "amax": (lambda x: x.view(-1, 1, 3, 2).amax((1, 3)), [2], 3),
    "amin": (lambda x: x.view(-1, 3, 2).amin((1, 2), keepdim=True), [6], 1),
    "max_pool1d": (lambda x: F.max_pool1d(x[:, None], 3, 2, 1), [3], 3),
    "max_pool2d": (lambda x: F.max_pool2d(x.view(-1, 2, 3), 2, 1, 1, ceil_mode=True), [4], 12),
    "max_pool3d": (lambda x: F.max_pool3d(x.view(-1, 1, 1, 2, 3), (1, 2, 2), 1), [4], 2),
    "max_pool2d_with_indices": (
        lambda x: ATEN.max_pool2d_with_indices(x.view(-1, 1, 2, 3), [2, 2], [1, 1])[0], [4], 2
    ),
    "max_pool1d_with_indices": (
        lambda x: F.max_pool1d(x[:, None], 2, dilation=2, return_indices=True)[0], [2], 2
    ),
    "max_pool3d_with_indices": (
        lambda x: F.max_pool3d(x.view(-1, 1, 1, 2, 3), (1, 2, 2), return_indices=True)[0], [4], 1
    ),
    "adaptive_max_pool1d": (lambda x: F.adaptive_max_pool1d(x[:, None], 4), [2], 4),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x.view(-1, 2, 3), (1, 2)), [4], 2),
    "adaptive_max_pool3d": (
        lambda x: F.adaptive_max_pool3d(x.view(-1, 1, 1, 2, 3), (1, 1, 2)), [4], 2
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNITS)
def test_units(name, used):
    function, pieces, n_units = UNITS[name]
    network = check(function, (6,))
    assert name.split()[0] in used
    assert network.n_units == n_units
    found = [
        layer.members.shape[1] if hasattr(layer, "members") else layer.slopes.shape[1]
        for layer in network.activations
    ]
    assert found == pieces


def dynamic(model, example):
    """Exported for batches of any size."""
    sizes = ({0: torch.export.Dim("n", min=2)},)
    return torch.export.export(model, (example,), dynamic_shapes=sizes, strict=False)


@pytest.mark.parametrize("name", ["sym_size", "sym_numel"])
def test_programs_for_batches_of_any_size(name, used):
    def function(x):
        n = x.shape[0] if name == "sym_size" else x.numel() // 6
        return x.repeat(1, 2).reshape(n, 3, 4).relu()

    program = dynamic(Model(function), torch.randn(5, 6).double())
    assert check(program, (6,)).n_units == 12
    assert name in used


LAST = {
    "softmax": lambda z: F.softmax(z, 1).squeeze(),
    "_softmax": lambda z: ATEN._softmax(z, 1, False),
    "log_softmax": lambda z: F.log_softmax(z, 1),
    "_log_softmax": lambda z: ATEN._log_softmax(z, 1, False),
    "sigmoid": lambda z: torch.sigmoid(z)[:, 2:],
    "log_sigmoid": lambda z: F.logsigmoid(z),
    "special_expit": lambda z: torch.special.expit(z),
}


@pytest.mark.parametrize("name", LAST)
def test_last_steps_are_left_out(name, used):
    def logits(x):
        return F.relu(x @ V) * torch.sigmoid(B5)

    network = check(lambda x: LAST[name](logits(x)), (6,))
    assert name in used
    (note,) = network.notes
    assert "left out as the last step" in note
    xy = const(20, 6).numpy()
    z = logits(torch.from_numpy(xy)).numpy()
    np.testing.assert_allclose(network(xy), z[:, -network.n_outputs :], atol=1e-12)
    after = [lambda y: 2 * y, lambda y: y.mean(1), torch.relu]
    if "softmax" in name:
        after.append(lambda y: y[:, 1:])
    for more in after:
        model = Model(lambda x, more=more: more(LAST[name](logits(x))))
        with pytest.raises(pr.UnsupportedLayerError, match="last step it may stay"):
            pr.lower(model, shape=(6,))


PLACES = {
    "argmax": lambda z: z.argmax(1),
    "argmin": lambda z: z.argmin(dim=-1, keepdim=True).float(),
}


@pytest.mark.parametrize("name", PLACES)
def test_places_at_the_end_are_left_out(name, used):
    model = Model(lambda x: PLACES[name](F.relu(x @ V) @ V.T))
    network = pr.lower(model, shape=(6,))
    assert name in used
    (note,) = network.notes
    assert note.startswith(f"aten.{name}")
    assert "place of the largest" in note or "place of the least" in note
    xy = const(200, 6)
    chosen = getattr(network(xy.numpy()), name)(axis=1)
    np.testing.assert_array_equal(chosen, model(xy).ravel().numpy())
    assert len(set(chosen)) > 1


def test_places_are_left_out_of_verification_and_programs(tmp_path):
    torch.manual_seed(0)
    logits = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 3))

    class Choosing(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = logits

        def forward(self, x):
            return self.logits(x).argmax(1)

    path = tmp_path / "choosing.pt2"
    torch.export.save(torch.export.export(Choosing(), (torch.zeros(1, 2),)), path)
    expected = pr.partition(logits, (-3, 3))
    for model in (Choosing(), pr.load_model(path)):
        part = pr.partition(model, (-3, 3))
        np.testing.assert_array_equal(part.face_weight, expected.face_weight)
        assert pr.verify(part, model, resolution=30).ok


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda z: (z, z.argmax(1)), "beside other outputs"),
        (lambda z: z * z.argmax(1, keepdim=True), "torch.amax, the value at that place"),
        (lambda z: z.argmin(1).unsqueeze(1), "torch.amin, the value at that place"),
        (lambda z: z.argmax(1).bool(), "cuts them off"),
        (lambda z: z.argmax(), "moves or mixes the axis of the batch"),
        (lambda z: z[:, :1].argmax(1), "always 0"),
    ],
)
def test_places_elsewhere_are_refused(function, why):
    with pytest.raises(pr.UnsupportedLayerError, match=why):
        pr.lower(Model(function), shape=(6,))


@pytest.mark.parametrize(
    "last", [nn.Softmax(dim=1), nn.LogSoftmax(dim=1), nn.Softmin(dim=1), nn.Sigmoid()]
)
def test_last_modules_are_left_out_of_partition_and_verification(last):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 3), last)
    logits = model[:3]
    part = pr.partition(model, (-3, 3))
    assert any("left out as the last step" in note for note in pr.lower(model).notes)
    sign = -1 if isinstance(last, nn.Softmin) else 1
    expected = pr.partition(logits, (-3, 3))
    np.testing.assert_array_equal(part.face_weight, sign * expected.face_weight)
    assert pr.verify(part, model, resolution=30).ok


def rnn_cell(x):
    return torch.rnn_tanh_cell(x, x, const(6, 6), const(6, 6))


def attention(x):
    x = x.view(-1, 1, 2, 3)
    return F.scaled_dot_product_attention(x, x, x)


def recurrent(kind):
    layer = kind(6, 3, batch_first=True)
    return lambda x: layer.double()(x[:, None])[0]


PICTURE = (1, 4, 4)
REFUSED = {
    "gelu": F.gelu, "silu": F.silu, "mish": F.mish, "elu": F.elu, "celu": F.celu, "selu": F.selu,
    "softplus": F.softplus, "tanh": torch.tanh, "hardswish": F.hardswish, "glu": F.glu,
    "exp": torch.exp, "exp2": torch.exp2, "expm1": torch.expm1, "log": torch.log,
    "log1p": torch.log1p, "log2": torch.log2, "log10": torch.log10, "logit": torch.logit,
    "logsumexp": lambda x: x.logsumexp(1), "erf": torch.erf, "sin": torch.sin, "cos": torch.cos,
    "tan": torch.tan, "atan": torch.atan, "asin": torch.asin, "acos": torch.acos,
    "sinh": torch.sinh, "cosh": torch.cosh, "pow": lambda x: x**2, "square": torch.square,
    "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "reciprocal": lambda x: 1 / x,
    "prod": lambda x: x.prod(1), "cumprod": lambda x: x.cumprod(1), "var": lambda x: x.var(1),
    "std": lambda x: x.std(1), "var_mean": lambda x: torch.var_mean(x, 1),
    "std_mean": lambda x: torch.std_mean(x, 1), "norm": lambda x: ATEN.norm(x, 2, [1]),
    "linalg_vector_norm": lambda x: torch.linalg.vector_norm(x, dim=1),
    "frobenius_norm": lambda x: ATEN.frobenius_norm(x, [1]),
    "dist": lambda x: torch.dist(x, 2 * x)[None], "cdist": lambda x: torch.cdist(x, const(2, 6)),
    "cosine_similarity": lambda x: F.cosine_similarity(x, const(6)[None]),
    "bilinear": lambda x: F.bilinear(x, x, const(1, 6, 6)),
    "layer_norm": lambda x: F.layer_norm(x, (6,)),
    "native_layer_norm": lambda x: torch.native_layer_norm(x, (6,), None, None, 1e-5)[0],
    "rms_norm": lambda x: F.rms_norm(x, (6,)), "group_norm": lambda x: F.group_norm(x, 2),
    "instance_norm": lambda x: F.instance_norm(x.view(-1, 2, 3)),
    "scaled_dot_product_attention": attention, "lstm": recurrent(nn.LSTM),
    "gru": recurrent(nn.GRU), "rnn_tanh": recurrent(nn.RNN),
    "hardshrink": F.hardshrink, "sign": torch.sign, "sgn": torch.sgn, "round": torch.round,
    "floor": torch.floor, "ceil": torch.ceil, "heaviside": lambda x: torch.heaviside(x, const(6)),
    "trunc": torch.trunc, "fix": torch.fix, "frac": torch.frac, "fmod": lambda x: x.fmod(2),
    "remainder": lambda x: x.remainder(2), "floor_divide": lambda x: x // 2,
    "signbit": torch.signbit,
    "bernoulli": lambda x: torch.bernoulli(x.clamp(0, 1)), "isnan": torch.isnan,
    "isinf": torch.isinf, "nan_to_num": torch.nan_to_num,
    "median": lambda x: x.median(1)[0], "nanmedian": lambda x: x.nanmedian(1)[0],
    "sort": lambda x: x.sort(1)[0], "msort": lambda x: x.msort(), "topk": lambda x: x.topk(2)[0],
    "kthvalue": lambda x: x.kthvalue(2)[0], "cummax": lambda x: x.cummax(1)[0],
    "cummin": lambda x: x.cummin(1)[0],
    "fractional_max_pool2d": lambda x: F.fractional_max_pool2d(x.view(-1, 1, 2, 3), 1, (1, 1)),
    "upsample_linear1d": lambda x: F.interpolate(x[:, None], size=9, mode="linear"),
    "upsample_bilinear2d": lambda x: F.interpolate(
        x.view(-1, 1, 2, 3), size=(4, 4), mode="bilinear"
    ),
    "upsample_bicubic2d": lambda x: F.interpolate(x.view(-1, 1, 2, 3), size=(4, 4), mode="bicubic"),
    "grid_sampler": lambda x: F.grid_sample(
        x.view(-1, 1, 2, 3), torch.zeros(x.shape[0], 2, 2, 2).double(), align_corners=False
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_what_and_why(name):
    with pytest.raises(pr.UnsupportedLayerError) as error:
        pr.lower(Model(REFUSED[name]), shape=(6,))
    message = str(error.value)
    assert f"aten.{name}" in message
    assert "What works instead: " in message
    assert "layer 'function'" in message or "test_operators.py" in message
    expected = {
        "curved": name in CURVED, "not continuous": name in JUMPING, "not supported": name in UNDONE
    }  # fmt: skip
    assert [reason in message for reason in expected] == list(expected.values())


def listed(kind):
    """The operations that a table of the page on operators lists."""
    page = Path(__file__).parents[1] / "docs" / "operators.md"
    table = page.read_text().split(f"<!-- operators: {kind} -->")[1].split("\n:::\n")[0]
    cells = re.split(r"^(?:\* -|  -) ", table, flags=re.MULTILINE)[1:]
    return [name for cell in cells[2::3] for name in re.findall(r"`(\w+)`", cell)]


def test_the_page_on_operators_lists_what_there_is():
    supported = [*listed("affine"), *listed("units"), *listed("last")]
    assert sorted(supported) == sorted(HANDLERS)
    known = {*CURVED, *JUMPING, *UNDONE}
    assert sorted(listed("refused")) == sorted(known - set(HANDLERS))


def test_every_operation_has_a_test():
    tables = (MOVES, AFFINE, UNBATCHED, LAYERS, UNITS, LAST, PLACES)
    tested = {name.split()[0] for table in tables for name in table}
    assert {"sym_size", "sym_numel"} | tested == set(HANDLERS)
    assert set(REFUSED) == {*CURVED, *JUMPING, *UNDONE} - set(HANDLERS)
