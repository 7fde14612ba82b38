"""Model files: each kind gives the model that was saved, and none runs what is not the user's."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import real_network
from torch import nn

import polyregions as pr
from polyregions.formats import arrays
from polyregions.formats.pt2 import archive, calls, operations
from polyregions.io import is_partition, load_model, load_network
from polyregions.network import Affine

# torch.export itself warns of its own parts.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


def sequential(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers).eval()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def stack() -> nn.Sequential:
    return sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))


class Bomb:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple:
        return (os.system, (f"touch {self.marker}",))


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that no test may make; checked when the test is over."""
    path = tmp_path / "marker"
    pickle.loads(pickle.dumps(Bomb(path)))
    assert path.exists(), "the bomb must work to prove anything"
    path.unlink()
    yield path
    assert not path.exists(), "something in a model file was run"


def assert_same_model(loaded: nn.Module, model: nn.Module) -> None:
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    for n in (1, 2, 3, 7, 16):
        x = torch.randn(n, 2, dtype=dtype)
        with torch.no_grad():
            assert torch.equal(loaded(x.clone()), model(x.clone()))


# -- weights and biases in .npz ----------------------------------------------------------------


KEYS = {
    "weight_0": ("weight_{}", "bias_{}"),
    "weight0": ("weight{}", "bias{}"),
    "weights.0": ("weights.{}", "biases.{}"),
    "W0": ("W{}", "b{}"),
    "W_0": ("W_{}", "b_{}"),
    "w0": ("w{}", "b{}"),
    "0.weight": ("{}.weight", "{}.bias"),
    "layers.0.weight": ("layers.{}.weight", "layers.{}.bias"),
    "fc0.weight": ("fc{}.weight", "fc{}.bias"),
    "dense_0/kernel": ("dense_{}/kernel", "dense_{}/bias"),
    "0000.dense.A": ("{:04d}.dense.A", "{:04d}.dense.b"),
}


@pytest.mark.parametrize("scheme", KEYS)
def test_npz_key_schemes(scheme: str, tmp_path: Path) -> None:
    """Twelve layers, saved in reverse, come in the order of their numbers, 2 before 10."""
    model = sequential(
        nn.Linear(2, 3), *[m for _ in range(10) for m in (nn.ReLU(), nn.Linear(3, 3))], nn.ReLU(),
        nn.Linear(3, 1),
    )  # fmt: skip
    linear = [m for m in model if isinstance(m, nn.Linear)]
    weight, bias = KEYS[scheme]
    named = {}
    for i, layer in reversed(list(enumerate(linear))):
        named[bias.format(2 * i)] = layer.bias.detach().numpy()
        named[weight.format(2 * i)] = layer.weight.detach().numpy()
    np.savez(tmp_path / "net.npz", **named)
    loaded = load_model(tmp_path / "net.npz")
    assert_same_model(loaded, model)
    np.savez_compressed(tmp_path / "net.npz", **{k: v.T for k, v in named.items()})
    assert_same_model(load_model(tmp_path / "net.npz", transpose=True), model)


@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
def test_models_of_keras_are_sent_by_onnx(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(pr.FormatError, match=r"Of a model of Keras, make an ONNX file of it"):
        load_model(tmp_path / name)
    other = type("Sequential", (), {"__module__": "keras.src.models.sequential"})
    with pytest.raises(TypeError, match=r"got Sequential of Keras; make an ONNX file.*tf2onnx"):
        pr.lower(other())


def test_npz_whose_steps_have_names(tmp_path: Path, stack: nn.Sequential) -> None:
    """Some files hold an empty array for every step without weights, such as 0001.relu._"""
    arrays = {}
    for i, layer in enumerate(stack):
        if isinstance(layer, nn.Linear):
            arrays[f"{i:04d}.dense.A"] = layer.weight.detach().numpy().T
            arrays[f"{i:04d}.dense.b"] = layer.bias.detach().numpy()
        else:
            arrays[f"{i:04d}.relu._"] = np.zeros(0, np.float32)
    np.savez(tmp_path / "net.npz", **arrays, **{"0005.squeeze_last._": np.zeros(0)})
    assert_same_model(load_model(tmp_path / "net.npz", transpose=True), stack)
    others = {k: v for k, v in arrays.items() if k != "0001.relu._"}
    for wrong in (others, others | {"0001.elu._": np.zeros(0)}, arrays | {"0005.relu._": []}):
        np.savez(tmp_path / "net.npz", **wrong)
        with pytest.raises(pr.FormatError, match="its steps are a layer, "):
            load_model(tmp_path / "net.npz", transpose=True)


def test_an_implicit_surface() -> None:
    path = real_network("niq_fox.npz")
    model = load_model(path, transpose=True)
    network = load_network(path, transpose=True)
    assert [type(m) for m in model] == [nn.Linear, nn.ReLU] * 8 + [nn.Linear]
    part = pr.partition(network, (-1, 1), slice=pr.Slice.axes(0, 1, at=[0, 0, 0]))
    assert len(part) == 22468
    points = np.random.default_rng(0).uniform(-1, 1, (10_000, 2))
    with torch.no_grad():
        values = model.double()(torch.from_numpy(part.slice(points))).numpy()
    np.testing.assert_allclose(part(points), values, rtol=0, atol=1e-13)
    assert pr.verify(part, load_model(path, transpose=True), resolution=50).ok


def test_npz_order_of_names_without_numbers(tmp_path: Path) -> None:
    model = sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
    names = ["input", "hidden", "output"]
    named = {}
    for name, layer in zip(names, model[::2], strict=True):
        named |= {f"{name}.{k}": v.numpy() for k, v in layer.state_dict().items()}
    np.savez(tmp_path / "net.npz", **named)
    assert_same_model(load_model(tmp_path / "net.npz"), model)


def test_npz_missing_bias_is_zero(tmp_path: Path) -> None:
    model = sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 1))
    contents = {f"{k}": v.numpy() for k, v in model.state_dict().items()}
    np.savez(tmp_path / "net.npz", **contents)
    assert_same_model(load_model(str(tmp_path / "net.npz")), model)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int8", "int64", "bool"])
def test_npz_numbers_are_kept(dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = [rng.integers(-3, 4, s).astype(dtype) for s in ((4, 2), (1, 4))]
    np.savez(tmp_path / "net.npz", W0=weights[0], W1=weights[1])
    loaded = load_model(tmp_path / "net.npz")
    for layer, weight in zip(loaded[::2], weights, strict=True):
        assert layer.weight.detach().numpy().tolist() == weight.tolist()
    kept = {"float16": torch.float16, "float32": torch.float32, ">f4": torch.float32}
    assert loaded[0].weight.dtype == kept.get(dtype, torch.float64)


def test_npz_of_several_dtypes_takes_the_widest(tmp_path: Path) -> None:
    weight = np.array([[0.1, 0.2]], dtype=np.float64)
    np.savez(tmp_path / "net.npz", W0=np.ones((2, 2), dtype=np.float16), W1=weight)
    loaded = load_model(tmp_path / "net.npz")
    assert loaded[2].weight.tolist() == weight.tolist()
    assert loaded[0].weight.dtype == torch.float64


def test_loading_draws_no_random_numbers(tmp_path: Path, stack: nn.Sequential) -> None:
    np.savez(tmp_path / "net.npz", **{k: v.numpy() for k, v in stack.state_dict().items()})
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(tmp_path / "net.npz")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({}, "holds no weights"),
        ({"W0": np.ones((3, 2)), "colour": np.ones(3)}, "'colour' is neither the weight nor the"),
        ({"arr_0": np.ones((3, 2))}, "Names may be weight_0 and bias_0"),
        ({"b0": np.ones(3)}, "a bias but no weight of layer 0"),
        ({"W0": np.ones((3, 2)), "weight_0": np.ones((3, 2))}, "two arrays for the weight"),
        ({"W0": np.ones((3, 2, 1, 1))}, r"'W0' has shape \(3, 2, 1, 1\).*convolution"),
        ({"W0": np.ones((3, 2)), "b0": np.ones((1, 3))}, r"a bias has 1 axis"),
        (
            {"W0": np.ones((3, 2)), "W1": np.ones((4, 5))},
            "layer 0 gives 3 values and layer 1 takes",
        ),
        ({"W0": np.ones((3, 2)), "b0": np.ones(4)}, r"a bias of shape \(4,\)"),
        ({"W0": np.array([["a", "b"]])}, "not numbers"),
        ({"W0": np.array([[2**60 + 1, 0]])}, "no float64 equals"),
        ({"W0": np.ones((1, 2), dtype=complex)}, "complex128"),
    ],
)
def test_npz_that_is_no_stack(contents: dict, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", **contents)
    with pytest.raises(pr.FormatError, match=message) as caught:
        load_model(tmp_path / "net.npz")
    assert "net.npz" in str(caught.value)


def test_transposed_weights_are_recognised(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", W0=np.ones((2, 5)), b0=np.ones(5), W1=np.ones((5, 1)))
    with pytest.raises(pr.FormatError, match=r"stored as \(in, out\): pass transpose=True \(--tr"):
        load_model(tmp_path / "net.npz")
    assert load_model(tmp_path / "net.npz", transpose=True)[0].in_features == 2
    np.savez(tmp_path / "net.npz", W0=np.ones((5, 2)), b0=np.ones(5), W1=np.ones((1, 5)))
    with pytest.raises(pr.FormatError, match=r"stored as \(out, in\): leave out transpose=True"):
        load_model(tmp_path / "net.npz", transpose=True)


def test_npz_with_nan_is_named_by_lowering(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", W0=np.ones((3, 2)), W1=np.full((1, 3), np.nan))
    with pytest.raises(ValueError, match="NaN or infinite"):
        pr.partition(load_model(tmp_path / "net.npz"))


def test_saved_partition_is_no_model(tmp_path: Path, stack: nn.Sequential) -> None:
    pr.partition(stack).save(tmp_path / "part.npz")
    assert is_partition(tmp_path / "part.npz")
    with pytest.raises(pr.FormatError, match=r"is a saved partition, not a model"):
        load_model(tmp_path / "part.npz")


def test_is_partition_of_other_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", W0=np.ones((3, 2)))
    (tmp_path / "text.npz").write_text("hello")
    assert not is_partition(tmp_path / "net.npz")
    assert not is_partition(tmp_path / "text.npz")
    assert not is_partition(tmp_path / "missing.npz")
    assert not is_partition(tmp_path)


def test_hostile_npz(marker: Path, tmp_path: Path) -> None:
    hostile = np.empty((), dtype=object)
    hostile[()] = Bomb(marker)
    np.savez(tmp_path / "net.npz", allow_pickle=True, W0=np.ones((3, 2)), b0=hostile)
    with pytest.raises(pr.FormatError, match="pickled Python objects, which could run code"):
        load_model(tmp_path / "net.npz")
    with zipfile.ZipFile(tmp_path / "net.npz", "w") as archive:
        archive.writestr("W0.npy", pickle.dumps(Bomb(marker)))
    with pytest.raises(pr.FormatError, match="damaged"):
        load_model(tmp_path / "net.npz")
    (tmp_path / "net.npz").write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(pr.FormatError, match=r"not an \.npz file"):
        load_model(tmp_path / "net.npz")


# -- activations -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("relu", F.relu),
        ("ReLU", F.relu),
        ("leaky_relu", F.leaky_relu),
        ("leaky-relu:0.25", lambda z: F.leaky_relu(z, 0.25)),
        ("leaky_relu:-0.5", lambda z: F.leaky_relu(z, -0.5)),
        ("abs", torch.abs),
        ("relu6", F.relu6),
        ("hardtanh", F.hardtanh),
        ("hardtanh:-2:0.5", lambda z: F.hardtanh(z, -2, 0.5)),
        ("identity", lambda z: z),
    ],
)
def test_activations(activation: str, function: Callable, tmp_path: Path) -> None:
    first, last = nn.Linear(2, 8), nn.Linear(8, 1)
    torch.save(nn.Sequential(first, nn.ReLU(), last).state_dict(), tmp_path / "net.pt")
    loaded = load_model(tmp_path / "net.pt", activation=activation)
    x = 5 * torch.randn(50, 2)
    assert torch.equal(loaded(x), last(function(first(x))))
    network = pr.lower(loaded)
    np.testing.assert_allclose(network(x.numpy()), loaded(x).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("tanh", "must be one of relu, leaky_relu, abs"),
        ("", "must be one of"),
        ("relu:3", "relu takes 0 numbers, got 1"),
        ("leaky_relu:x", "no number"),
        ("hardtanh:1", "takes 2 numbers"),
        ("hardtanh:2:1", "bounds reversed"),
        ("hardtanh:nan:1", "bounds reversed"),
        ("__import__('os')", "must be one of"),
    ],
)
def test_bad_activation(activation: str, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", W0=np.ones((3, 2)))
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path / "net.npz", activation=activation)


# -- state dicts -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".PT"])
def test_state_dict(suffix: str, stack: nn.Sequential, tmp_path: Path) -> None:
    torch.save(stack.state_dict(), tmp_path / f"net{suffix}")
    loaded = load_model(tmp_path / f"net{suffix}")
    assert_same_model(loaded, stack)
    assert pr.partition(loaded).count() == pr.partition(stack).count()
    torch.save(stack.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert_same_model(load_model(tmp_path / "old.pt"), stack)


def test_state_dict_in_the_order_of_definition(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.body, self.tail = nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.tail(F.relu(self.body(F.relu(self.entry(x)))))

    net = Net()
    torch.save(net.state_dict(), tmp_path / "net.pt")
    assert_same_model(load_model(tmp_path / "net.pt"), net)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_state_dict_dtypes(dtype: torch.dtype, stack: nn.Sequential, tmp_path: Path) -> None:
    model = stack.to(dtype)
    torch.save(model.state_dict(), tmp_path / "net.pt")
    loaded = load_model(tmp_path / "net.pt")
    assert_same_model(loaded, model)
    assert loaded[0].weight.dtype == dtype


def test_layers_out_of_order_are_refused(tmp_path: Path) -> None:
    state = OrderedDict([("fc2.weight", torch.ones(2, 2)), ("fc1.weight", torch.ones(2, 2))])
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(pr.FormatError, match="in the order fc2, fc1"):
        load_model(tmp_path / "net.pt")


class Unregistered(nn.Module):
    """The layers are in a plain list, so that torch does not know them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(2, 4), nn.Linear(4, 4), nn.Linear(4, 1)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(2, 1), "could run code when opened.*torch.export.save"),
        (lambda: torch.ones(3), "holds a Tensor, not a state dict"),
        (lambda: [torch.ones(3, 2)], "holds a list, not a state dict"),
        (dict, "holds no weights"),
        (lambda: Unregistered().state_dict(), "holds no weights"),
        (
            lambda: {"epoch": 3, "model": nn.Linear(2, 1).state_dict()},
            "its entry 'epoch' is a int",
        ),
        (lambda: {"model": nn.Linear(2, 1).state_dict()}, "under 'model', save that entry"),
        (lambda: nn.Sequential(nn.Conv2d(2, 3, 1)).state_dict(), "convolution"),
        (
            lambda: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).state_dict(),
            r"num_batches_tracked' is a tensor of torch.int64|'1.weight' has shape \(3,\)",
        ),
        (
            lambda: nn.Sequential(nn.Linear(2, 3), nn.PReLU(), nn.Linear(3, 1)).state_dict(),
            r"'1.weight' has shape \(1,\).*PReLU",
        ),
        (lambda: nn.LSTM(2, 3).state_dict(), "'weight_ih_l0' is neither"),
        (lambda: {"0.weight": torch.eye(2).to_sparse()}, "sparse"),
        (lambda: {"0.weight": torch.ones(2, 2, dtype=torch.int8)}, "floating-point numbers only"),
        (lambda: {7: torch.ones(2, 2)}, "not a plain state dict"),
    ],
)
def test_other_torch_files(make: Callable, message: str, tmp_path: Path) -> None:
    torch.save(make(), tmp_path / "net.pt")
    with pytest.raises(pr.FormatError, match=message) as caught:
        load_model(tmp_path / "net.pt")
    assert "net.pt" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04" + b"\0" * 50])
def test_damaged_state_dict(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(data)
    with pytest.raises(pr.FormatError, match="is no state dict, or is damaged"):
        load_model(tmp_path / "net.pth")


def test_cut_state_dict(stack: nn.Sequential, tmp_path: Path) -> None:
    torch.save(stack.state_dict(), tmp_path / "net.pt")
    data = (tmp_path / "net.pt").read_bytes()
    for length in range(0, len(data), len(data) // 15):
        (tmp_path / "net.pt").write_bytes(data[:length])
        with pytest.raises(pr.FormatError):
            load_model(tmp_path / "net.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_state_dict(zipped: bool, marker: Path, tmp_path: Path) -> None:
    for hostile in (Bomb(marker), {"0.weight": Bomb(marker)}, {Bomb(marker): torch.ones(2, 2)}):
        torch.save(hostile, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
        with pytest.raises(pr.FormatError, match="could run code"):
            load_model(tmp_path / "net.pt")
    (tmp_path / "net.pth").write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(pr.FormatError):
        load_model(tmp_path / "net.pth")


# -- torch.export programs ---------------------------------------------------------------------


class Functional(nn.Module):
    """Reshapes with the size of the batch, constants, and activations in every spelling."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(2, 5), nn.Linear(5, 5), nn.Linear(5, 2)
        self.norm, self.prelu, self.dropout = nn.BatchNorm1d(5), nn.PReLU(5), nn.Dropout(0.5)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        self.shift = torch.randn(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n = x.shape[0]
        y = self.norm(F.relu(self.first(x)))
        y = y.view(-1, 5).reshape(n, 5).view(n, 1, 5).flatten(1)
        z = self.prelu(self.second(y)).clamp(min=0) + self.shift
        z = self.dropout(z).relu_().unsqueeze(1).squeeze(1).contiguous()
        return F.leaky_relu(self.last(z / 4 - 1), 0.1).abs().clamp(max=3)


class Products(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(2, 5)), nn.Parameter(torch.randn(1, 5))
        self.out = nn.Parameter(torch.randn(3, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x @ self.weight + self.bias).matmul(self.out.t())


class Shared(nn.Module):
    """One tensor used twice, and one that is a part of another."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.again = self.inner
        self.whole = nn.Parameter(torch.randn(4, 2))
        self.register_buffer("part", self.whole.detach()[1:3].T)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.again(F.relu(self.inner(x)))) @ self.part @ self.whole.T


MODELS: dict[str, Callable[[], nn.Module]] = {
    "sequential": lambda: nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 1)),
    "functional": Functional,
    "unregistered": Unregistered,
    "products": Products,
    "shared": Shared,
    "hardtanh": lambda: nn.Sequential(
        nn.Linear(2, 4), nn.Hardtanh(-0.5, 2), nn.Identity(), nn.Linear(4, 4), nn.ReLU6(),
        nn.Flatten(), nn.Linear(4, 1),
    ),
    "in place": lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(2, 3)),
    "float64": lambda: nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)).double(),
    "bfloat16": lambda: nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)).bfloat16(),
}  # fmt: skip


def export(model: nn.Module, rows: int | None = 4) -> torch.export.ExportedProgram:
    """Export for a fixed number of rows, or for any number."""
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    example = (torch.zeros(rows or 4, 2, dtype=dtype),)
    any_number = ({0: torch.export.Dim.DYNAMIC},)
    return torch.export.export(model, example, dynamic_shapes=None if rows else any_number)


def saved(program: torch.export.ExportedProgram, path: Path) -> Path:
    torch.export.save(program, path)
    return path


# Rows: any number; one, as most people export; the number of inputs; the width; another.
@pytest.mark.parametrize("rows", [None, 1, 2, 5, 7])
@pytest.mark.parametrize("name", MODELS)
def test_program_is_the_model(name: str, rows: int | None, tmp_path: Path) -> None:
    model = MODELS[name]().eval()
    loaded = load_model(saved(export(model, rows), tmp_path / "net.pt2"))
    assert isinstance(loaded, nn.Module)
    assert_same_model(loaded, model)


@pytest.mark.parametrize("name", MODELS)
def test_program_partitions_like_the_model(name: str, tmp_path: Path) -> None:
    model = MODELS[name]().eval()
    loaded = load_model(saved(export(model), tmp_path / "net.pt2"))
    expected, part = pr.partition(model, (-3, 3)), pr.partition(loaded, (-3, 3))
    assert part.vertex_exact == expected.vertex_exact
    np.testing.assert_array_equal(part.face_pattern, expected.face_pattern)
    np.testing.assert_array_equal(part.face_weight, expected.face_weight)
    assert pr.verify(part, loaded, resolution=40).ok


@pytest.mark.parametrize("rows", [None, 1, 5])
@pytest.mark.parametrize("name", ["sequential", "unregistered", "products", "in place"])
def test_decomposed_program(name: str, rows: int | None, tmp_path: Path) -> None:
    model = MODELS[name]().eval()
    program = export(model, rows).run_decompositions()
    assert_same_model(load_model(saved(program, tmp_path / "net.pt2")), model)


def test_program_for_single_points(tmp_path: Path) -> None:
    model = sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 1))
    program = torch.export.export(model, (torch.zeros(2),))
    loaded = load_model(saved(program, tmp_path / "net.pt2"))
    x = torch.randn(2)
    assert torch.equal(loaded(x), model(x))
    with pytest.raises(ValueError, match=r"takes inputs of shape \(2\), not \(3, 2\)"):
        loaded(torch.zeros(3, 2))
    assert len(pr.partition(loaded)) == len(pr.partition(model))


def test_wrong_input_shape(tmp_path: Path) -> None:
    model = sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1))
    program = torch.export.export(model, (torch.zeros(4, 3),))
    loaded = load_model(saved(program, tmp_path / "net.pt2"))
    with pytest.raises(ValueError, match=r"takes inputs of shape \(N, 3\), not \(5, 2\)"):
        loaded(torch.zeros(5, 2))
    with pytest.raises(ValueError, match="2-D slice"):
        pr.partition(loaded)


def test_parameters_are_counted(tmp_path: Path) -> None:
    loaded = load_model(saved(export(MODELS["sequential"]().eval()), tmp_path / "net.pt2"))
    assert sum(p.numel() for p in loaded.parameters()) == 2 * 6 + 6 + 6 + 1


def test_input_is_left_alone(tmp_path: Path) -> None:
    loaded = load_model(saved(export(MODELS["in place"]().eval()), tmp_path / "net.pt2"))
    x = torch.tensor([[-1.0, 2.0]])
    loaded(x)
    assert x.tolist() == [[-1.0, 2.0]]


class MixesRows(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x - x.mean(0))


class RowTable(nn.Module):
    """Adds another number to every row of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.arange(5.0)[:, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.table)


class SwapsRows(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x.reshape(2, 5).t().reshape(5, 2))


@pytest.mark.parametrize("make", [MixesRows, RowTable, SwapsRows])
def test_program_bound_to_its_batch(make: Callable, tmp_path: Path) -> None:
    path = saved(export(make().eval(), 5), tmp_path / "net.pt2")
    with pytest.raises(pr.FormatError, match=r"batches of exactly 5 rows.*dynamic_shapes"):
        load_model(path)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + F.relu(self.inner(x))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (nn.Tanh, "tanh"), (nn.Sigmoid, "sigmoid"), (nn.GELU, "gelu"), (nn.SiLU, "silu"),
        (nn.Softplus, "softplus"), (nn.ELU, "elu"), (lambda: nn.Softmax(1), "softmax"),
        (lambda: nn.LayerNorm(4), "layer_norm"), (nn.Hardswish, "hardswish"),
    ],
)  # fmt: skip
def test_curved_layers_are_named_by_lowering(make: Callable, word: str, tmp_path: Path) -> None:
    model = sequential(nn.Linear(2, 4), make(), nn.Linear(4, 1))
    loaded = load_model(saved(export(model), tmp_path / "net.pt2"))
    assert_same_model(loaded, model)
    with pytest.raises(pr.UnsupportedLayerError, match=word):
        pr.partition(loaded)


def test_programs_with_branches(tmp_path: Path) -> None:
    model = Residual().eval()
    loaded = load_model(saved(export(model), tmp_path / "net.pt2"))
    assert_same_model(loaded, model)
    part, expected = pr.partition(loaded), pr.partition(model)
    np.testing.assert_array_equal(part.face_weight, expected.face_weight)
    assert pr.verify(part, loaded, resolution=20).ok


class Pictures(nn.Module):
    """Every kind of argument: lists of tensors, texts, sizes of windows, absent tensors."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 2, 3, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(2)
        self.last = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu_(self.norm(self.conv(nn.functional.pad(x, (1, 1, 0, 0), mode="reflect"))))
        a = nn.functional.max_pool2d(h, (2, 3))
        b = nn.functional.adaptive_avg_pool2d(h, (2, 1))[:, [1, 0]]
        values, _ = torch.cat([a, b.expand(-1, -1, -1, 2)], dim=1).max(dim=3)
        return self.last(torch.einsum("bij,jk->bik", values, torch.eye(2)).flatten(1)).softmax(1)


@pytest.mark.parametrize("is_open", [False, True])
def test_programs_of_pictures(is_open: bool, tmp_path: Path) -> None:
    model = Pictures().eval()
    sizes = ({0: torch.export.Dim("n", min=2)},) if is_open else None
    program = torch.export.export(model, (torch.zeros(3, 1, 4, 4),), dynamic_shapes=sizes)
    loaded = load_model(saved(program, tmp_path / "net.pt2"))
    x = torch.randn(6, 1, 4, 4)
    torch.testing.assert_close(loaded(x), model(x))
    network, expected = pr.lower(loaded), pr.lower(model, shape=(1, 4, 4))
    points = np.random.default_rng(0).normal(size=(5, 16))
    np.testing.assert_array_equal(network(points), expected(points))
    assert (network.n_inputs, network.n_units) == (16, 2 * 24 + 8 + 8)


class Conditional(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))


class Random(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + torch.rand(2))


class Spectrum(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft(x).real


@pytest.mark.parametrize(
    ("make", "word"),
    [(Conditional, "higher_order.cond"), (Random, "rand"), (Spectrum, "fft_fft")],
)
def test_unknown_operations_are_named(make: Callable, word: str, tmp_path: Path) -> None:
    path = saved(export(make().eval()), tmp_path / "net.pt2")
    with pytest.raises(pr.UnsupportedLayerError, match=rf"net\.pt2 calls 'torch\.ops\..*{word}"):
        load_model(path)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(4)])
def test_program_in_train_mode(layer: nn.Module, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 4), layer, nn.Linear(4, 1)).train()
    path = saved(export(model), tmp_path / "net.pt2")
    with pytest.raises(pr.FormatError, match=r"train mode.*model\.eval\(\)"):
        load_model(path)


class Counts(nn.Module):
    """Changes a buffer of its own at every call, through a view of it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.view(2).add_(1)
        return torch.relu(x + self.calls)


@pytest.mark.parametrize("decomposed", [False, True])
def test_program_that_changes_itself(decomposed: bool, tmp_path: Path) -> None:
    program = export(Counts().eval())
    if decomposed:
        program = program.run_decompositions()
    with pytest.raises(pr.FormatError, match="changes its own parameters or buffers"):
        load_model(saved(program, tmp_path / "net.pt2"))


class Two(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + y)


def test_program_of_two_inputs_or_outputs(tmp_path: Path) -> None:
    program = torch.export.export(Two(), (torch.zeros(4, 2), torch.zeros(4, 2)))
    with pytest.raises(pr.FormatError, match="takes 2 tensors; one is expected"):
        load_model(saved(program, tmp_path / "net.pt2"))

    class Pair(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple:
            y = torch.relu(x)
            return y, y

    loaded = load_model(saved(export(Pair()), tmp_path / "net.pt2"))
    assert len(loaded(torch.zeros(3, 2))) == 2
    assert pr.partition(loaded).n_outputs == 4


def test_two_torch_formats_before_this_one(tmp_path: Path, marker: Path) -> None:
    """The layouts of torch 2.6 and 2.7 and of 2.8, as torch itself still reads them."""
    from torch._export.serde.serialize import serialize

    model = Functional().eval()
    program = export(model, None)
    parts = serialize(program)
    old = tmp_path / "old.pt2"

    def write_old(state: bytes) -> None:
        with zipfile.ZipFile(old, "w") as archive:
            archive.writestr("version", "8.2")
            archive.writestr("serialized_exported_program.json", parts.exported_program)
            archive.writestr("serialized_state_dict.pt", state)
            archive.writestr("serialized_constants.pt", parts.constants)
            archive.writestr("serialized_example_inputs.pt", parts.example_inputs)

    write_old(parts.state_dict)
    assert_same_model(torch.export.load(old).module(), model)
    assert_same_model(load_model(old), model)
    write_old(torch_bytes({"first.weight": Bomb(marker)}))
    with pytest.raises(pr.FormatError, match="could run code"):
        load_model(old)

    def with_pickled_weights(members: dict[str, bytes]) -> dict[str, bytes]:
        kept = {k: v for k, v in members.items() if "/weights/" not in k and "/constants/" not in k}
        root = next(iter(members)).split("/")[0]
        return kept | {
            f"{root}/data/weights/model.pt": parts.state_dict,
            f"{root}/data/constants/model.pt": parts.constants,
        }

    path = edited(saved(program, tmp_path / "net.pt2"), with_pickled_weights)
    assert_same_model(load_model(path), model)


# -- damaged and hostile programs --------------------------------------------------------------


def edited(path: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> Path:
    """A copy of an archive with its members changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    other = path.with_name("edited.pt2")
    with zipfile.ZipFile(other, "w") as archive:
        for name, data in change(members).items():
            archive.writestr(name, data)
    return other


def torch_bytes(value: object) -> bytes:
    import io

    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def program_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    return saved(export(Functional().eval(), None), path)


def edited_json(path: Path, ending: str, change: Callable[[dict], None]) -> Path:
    """A copy of an archive with one of its JSON members changed."""

    def in_members(members: dict[str, bytes]) -> dict[str, bytes]:
        [name] = [n for n in members if n.endswith(ending)]
        content = json.loads(members[name])
        change(content)
        return members | {name: json.dumps(content).encode()}

    return edited(path, in_members)


def edited_graph(path: Path, change: Callable[[dict], None]) -> Path:
    return edited_json(
        path, "models/model.json", lambda content: change(content["graph_module"]["graph"])
    )


@pytest.fixture
def own(program_file: Path, tmp_path: Path) -> Path:
    """The program in a folder of the test's own."""
    path = tmp_path / "net.pt2"
    path.write_bytes(program_file.read_bytes())
    return path


def test_edited_without_change_it_loads(own: Path) -> None:
    assert isinstance(load_model(edited_graph(own, lambda graph: None)), nn.Module)


def test_cut_program(own: Path) -> None:
    data = own.read_bytes()
    for length in range(0, len(data), len(data) // 25):
        own.write_bytes(data[:length])
        with pytest.raises(pr.FormatError):
            load_model(own)


def test_flipped_bits_in_a_program(own: Path) -> None:
    """Refused, or without effect on what the program computes."""
    data = own.read_bytes()
    expected = load_model(own)
    x = torch.randn(4, 2)
    rng = np.random.default_rng(0)
    for position in rng.integers(0, 8 * len(data), 60):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        own.write_bytes(damaged)
        try:
            loaded = load_model(own)
        except (pr.FormatError, pr.UnsupportedLayerError):
            continue
        assert torch.equal(loaded(x), expected(x))


TARGETS = [
    "torch.hub.load",
    "torch.os.system",
    "torch.load",
    "torch.ops.load_library",
    "torch.ops.aten.relu.default.__class__",
    "torch.ops.aten.__class__",
    "torch.ops.aten.relu.__init__.__globals__",
    "torch.ops.aten.from_file.default",
    "torch.ops.prim.Print.default",
    "torch._C._jit_pass_inline",
    "torch.ops.higher_order.cond",
    "_operator.attrgetter",
    "_operator.methodcaller",
    "_operator.call",
    "_operator.pow",
    "_operator.add.__self__",
    "math.factorial",
    "builtins.exec",
    "os.system",
    "#custom:os.system",
    "__import__('os').system('touch marker')",
    "",
]


@pytest.mark.parametrize("target", TARGETS)
def test_targets_outside_the_table_are_never_called(
    target: str, own: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(marker.parent)

    def change(graph: dict) -> None:
        node = copy.deepcopy(graph["nodes"][1])
        node["target"] = target
        node["inputs"] = [
            {"name": "repo", "arg": {"as_string": f"touch {marker}"}, "kind": 1},
            {"name": "source", "arg": {"as_string": "local"}, "kind": 1},
        ]
        node["outputs"] = [{"as_tensor": {"name": "harm"}}]
        graph["nodes"].insert(0, node)

    with pytest.raises(pr.UnsupportedLayerError, match=re.escape(repr(target))):
        load_model(edited_graph(own, change))


def test_known_targets_with_hostile_arguments(own: Path, marker: Path) -> None:
    """Operators on sizes take integers only; an operation takes what its signature says."""
    code = f"__import__('os').system('touch {marker}')"

    def insert(target: str, inputs: list, output: dict) -> Callable[[dict], None]:
        node = {
            "target": target,
            "inputs": [{"name": n, "arg": a, "kind": 1} for n, a in inputs],
            "outputs": [output],
            "metadata": {"stack_trace": code, "nn_module_stack": code},
            "name": code,
        }
        return lambda graph: graph["nodes"].insert(0, node)

    tensor, number = {"as_tensor": {"name": "harm"}}, {"as_sym_int": {"as_name": "harm"}}
    for change in (
        insert("_operator.add", [("a", {"as_string": code}), ("b", {"as_string": code})], number),
        insert("_operator.mul", [("a", {"as_string": code}), ("b", {"as_int": 10**9})], number),
        insert("_operator.mod", [("a", {"as_string": "%s"}), ("b", {"as_int": 1})], number),
        insert("torch.ops.aten.relu.default", [("self", {"as_string": code})], tensor),
        insert("torch.ops.aten.relu.default", [("__class__", {"as_int": 1})], tensor),
        insert(
            "torch.ops.aten.relu.default", [("self", {"as_custom_obj": {"name": code}})], tensor
        ),
        insert("torch.ops.aten.relu.default", [("self", {"as_operator": "os.system"})], tensor),
        insert("torch.ops.aten.relu.default", [("self", {"as_graph": {"name": code}})], tensor),
        insert("torch.ops.aten.relu.default", [("self", {"as_tensor": {"name": code}})], tensor),
    ):
        with pytest.raises(pr.FormatError):
            load_model(edited_graph(own, change))


def test_names_are_only_names(own: Path, marker: Path) -> None:
    """Values, calls and sizes may be called anything; nobody evaluates it."""
    code = f"__import__('os').system('touch {marker}')"
    bad = ["forward", "__class__", "_parameters", "training", "tensor_0", code, "a.b", "\x1b[31m"]

    def rename(graph: dict) -> None:
        made = [out["as_tensor"]["name"] for n in graph["nodes"] for out in n["outputs"]
                if "as_tensor" in out]  # fmt: skip
        text = json.dumps(graph)
        for name, new in zip(made, bad, strict=False):
            text = text.replace(json.dumps(name), json.dumps(new))
        graph.update(json.loads(text))
        for node in graph["nodes"]:
            node["name"] = code
            node["metadata"] = {"stack_trace": code, "nn_module_stack": code, "torch_fn": code}

    def with_code_for_sizes(content: dict) -> None:
        rename(content["graph_module"]["graph"])
        text = json.dumps(content)
        symbol = re.search(r"Symbol\('s\d+', positive=True, integer=True\)", text)
        content.update(json.loads(text.replace(symbol[0], code)))
        content["graph_module"]["module_call_graph"] = [code]
        content["range_constraints"] = {code: {"min_val": 2, "max_val": None}}
        content["guards_code"] = [code]
        content["graph_module"]["signature"]["output_specs"] = [
            {"user_output": {"arg": out}} for out in content["graph_module"]["graph"]["outputs"]
        ]

    expected = load_model(own)
    loaded = load_model(edited_json(own, "models/model.json", with_code_for_sizes))
    x = torch.randn(4, 2)
    assert torch.equal(loaded(x), expected(x))
    assert len(pr.partition(loaded)) == len(pr.partition(expected))


def test_sample_inputs_are_not_opened(own: Path, marker: Path) -> None:
    for data in (pickle.dumps(Bomb(marker)), torch_bytes(Bomb(marker))):
        path = edited(
            own, lambda m, d=data: {k: d if "sample_inputs" in k else v for k, v in m.items()}
        )
        assert isinstance(load_model(path), nn.Module)


@pytest.mark.parametrize("kind", ["weights", "constants"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_tensors(kind: str, zipped: bool, own: Path, marker: Path) -> None:
    bomb = torch_bytes(Bomb(marker)) if zipped else pickle.dumps(Bomb(marker))

    def harm(members: dict[str, bytes]) -> dict[str, bytes]:
        [config] = [n for n in members if n.endswith(f"{kind}_config.json")]
        content = json.loads(members[config])
        entry = next(iter(content["config"].values()))
        entry["use_pickle"] = True
        name = config.rsplit("/", 1)[0] + "/" + entry["path_name"]
        return members | {name: bomb, config: json.dumps(content).encode()}

    with pytest.raises(pr.FormatError, match="could run code, so it is not opened"):
        load_model(edited(own, harm))


def test_pickled_plain_tensor_is_read(own: Path) -> None:
    expected = load_model(own)
    shift = torch.arange(5.0)

    def pickled(members: dict[str, bytes]) -> dict[str, bytes]:
        [config] = [n for n in members if n.endswith("constants_config.json")]
        content = json.loads(members[config])
        [entry] = content["config"].values()
        entry["use_pickle"] = True
        name = config.rsplit("/", 1)[0] + "/" + entry["path_name"]
        return members | {name: torch_bytes(shift), config: json.dumps(content).encode()}

    loaded = load_model(edited(own, pickled))
    x = torch.randn(4, 2)
    assert not torch.equal(loaded(x), expected(x))  # it is the pickled one that counts


@pytest.mark.parametrize("prefix", ["custom_obj_0", "opaque_obj_0"])
def test_pickled_objects_among_constants(prefix: str, own: Path, marker: Path) -> None:
    def harm(members: dict[str, bytes]) -> dict[str, bytes]:
        [config] = [n for n in members if n.endswith("constants_config.json")]
        content = json.loads(members[config])
        content["config"]["harm"] = {
            "path_name": prefix, "is_param": False, "use_pickle": True, "tensor_meta": None,
        }  # fmt: skip
        name = config.rsplit("/", 1)[0] + "/" + prefix
        return members | {name: pickle.dumps(Bomb(marker)), config: json.dumps(content).encode()}

    with pytest.raises(pr.FormatError, match="could run code"):
        load_model(edited(own, harm))


def test_names_that_climb_out_of_the_archive(own: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"\0" * 40)

    def climb(members: dict[str, bytes]) -> dict[str, bytes]:
        [config] = [n for n in members if n.endswith("weights_config.json")]
        content = json.loads(members[config])
        next(iter(content["config"].values()))["path_name"] = "../../../secret"
        return members | {config: json.dumps(content).encode(), "../../escaped": b"harm"}

    before = sorted(p.name for p in tmp_path.parent.iterdir())
    with pytest.raises(pr.FormatError, match=r"lacks '.*\.\./\.\./\.\./secret'"):
        load_model(edited(own, climb))
    assert sorted(p.name for p in tmp_path.parent.iterdir()) == before
    absolute = edited_json(
        own,
        "weights_config.json",
        lambda c: next(iter(c["config"].values())).update(path_name=str(secret)),
    )
    with pytest.raises(pr.FormatError, match="lacks"):
        load_model(absolute)


def test_absurd_sizes_are_refused_before_allocation(own: Path) -> None:
    def weight_meta(**changes: object) -> Callable[[dict], None]:
        return lambda c: next(iter(c["config"].values()))["tensor_meta"].update(changes)

    huge, one = [{"as_int": 1 << 40}, {"as_int": 2}], [{"as_int": 1}, {"as_int": 1}]
    for changes, message in (
        ({"sizes": huge}, "larger than its data"),
        ({"sizes": huge, "strides": [{"as_int": 0}, {"as_int": 0}]}, "larger than its data"),
        ({"strides": [{"as_int": 1 << 50}, {"as_int": 1}]}, "larger than its data"),
        ({"storage_offset": {"as_int": 1 << 60}}, "larger than its data"),
        ({"sizes": [{"as_int": -5}, {"as_int": 2}]}, "negative"),
        ({"strides": one[:1]}, "one stride for each axis"),
        ({"storage_offset": {"as_int": -4}}, "negative"),
        ({"dtype": 9}, "number type"),
        ({"dtype": 99}, "number type"),
        ({"dtype": True}, "'dtype' is missing or not of type int"),
        ({"layout": 1}, "layout"),
        ({"sizes": [{"as_expr": {"expr_str": "s0"}}, {"as_int": 2}]}, "'as_int' is missing"),
    ):
        path = edited_json(own, "weights_config.json", weight_meta(**changes))
        with pytest.raises(pr.FormatError, match=message):
            raise AssertionError(f"{changes}: {load_model(path)}")


@pytest.mark.parametrize(
    ("target", "inputs"),
    [
        ("torch.ops.aten.zeros.default", [("size", {"as_ints": [1 << 20, 1 << 20]})]),
        ("torch.ops.aten.ones.default", [("size", {"as_ints": [1 << 62]})]),
        ("torch.ops.aten.arange.default", [("end", {"as_int": 1 << 50})]),
        ("torch.ops.aten.eye.default", [("n", {"as_int": 1 << 30})]),
        ("torch.ops.aten.view.default",
         [("self", {"as_tensor": {"name": "x"}}), ("size", {"as_ints": [1 << 40, 7]})]),
        ("torch.ops.aten.expand.default",
         [("self", {"as_tensor": {"name": "c_shift"}}), ("size", {"as_ints": [1 << 40, 5]})]),
    ],
)  # fmt: skip
def test_absurd_shapes_are_refused_before_allocation(target: str, inputs: list, own: Path) -> None:
    node = {
        "target": target,
        "inputs": [{"name": n, "arg": a, "kind": 1} for n, a in inputs],
        "outputs": [{"as_tensor": {"name": "absurd"}}],
        "metadata": {},
    }
    with pytest.raises(pr.FormatError, match=r"is not run|cannot run"):
        load_model(edited_graph(own, lambda graph: graph["nodes"].insert(0, node)))


def test_large_archives_are_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    with pytest.raises(pr.FormatError, match="claims to unpack to more than"):
        load_model(own)
    monkeypatch.setattr(archive, "MAX_BYTES", arrays.MAX_BYTES)
    monkeypatch.setattr(archive, "MAX_JSON", 100)
    with pytest.raises(pr.FormatError, match="bytes; it is not opened"):
        load_model(own)
    monkeypatch.setattr(archive, "MAX_JSON", 1 << 28)
    monkeypatch.setattr(calls, "MAX_NODES", 3)
    with pytest.raises(pr.FormatError, match="calls; it is not opened"):
        load_model(own)


def _set(*path: object, value: object) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change


NODES = ("graph_module", "graph", "nodes")
SIZES = ("graph_module", "graph", "tensor_values", "x", "sizes")
SPECS = ("graph_module", "signature", "input_specs")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("schema_version", "major", value=9), "a newer torch.*upgrade polyregions"),
        (_set("schema_version", "major", value=7), "an older torch.*torch 2.6 or later"),
        (_set("schema_version", value=None), "'schema_version' is missing"),
        (_set("graph_module", value=[]), "'graph_module' is missing"),
        (_set(*NODES, value={}), "'nodes' is missing"),
        (_set(*NODES, 2, value="relu"), "'target' is missing"),
        (_set(*NODES, 2, "inputs", value=[{}]), "'name' is missing"),
        (_set(*NODES, 2, "outputs", value=[{"as_tensor": {"name": "x"}}]), "makes a value anew"),
        (_set(*NODES, 2, "outputs", value=[{}]), "not of one kind"),
        (_set(*NODES, 2, "outputs", value=[]), "unmade"),
        (_set(*NODES, 2, "outputs", value=[{"as_graph": {}}]), "a result of the kind 'as_graph'"),
        (_set(*NODES, 1, "inputs", 1, "arg", value={"as_int": "3"}), "argument of the kind"),
        (_set(*NODES, 1, "inputs", 1, "arg", value={"as_int": 3}), "cannot run"),
        (_set(*NODES, 1, "inputs", 1, "arg", value={"as_float": 10**400}), "argument of the kind"),
        (_set(*NODES, 1, "inputs", 1, "arg", value={"as_scalar_type": []}), "argument of the kind"),
        (_set(*NODES, 1, "inputs", 1, "arg", value={"as_layout": 99}), "argument of the kind"),
        (_set(*NODES, 1, "inputs", 1, "name", value="colour"), "has no argument 'colour'"),
        (_set(*NODES, 1, "inputs", value=[]), "cannot run"),
        (_set(*NODES, value=[]), "nothing makes its output"),
        (_set(*SPECS, value=[]), "takes 0 tensors"),
        (_set(*SPECS, 0, value={"token": {"arg": {"name": "x"}}}), "an input of the kind 'token'"),
        (_set(*SPECS, 0, "parameter", "parameter_name", value="nothing"), "lacks the tensor"),
        (_set("graph_module", "graph", "tensor_values", value={}), "'dtype' is missing"),
        (_set("graph_module", "graph", "tensor_values", "x", "dtype", value=5), "torch.int64"),
        (_set(*SIZES, value=[{"as_int": 0}, {"as_int": 2}]), "0 rows"),
        (_set(*SIZES, value=[{"as_expr": {}}, {"as_expr": {}}]), "number of inputs is open"),
        (_set(*SIZES, value=[{"as_int": 1 << 30}, {"as_int": 1 << 30}]), "it is not run"),
    ],
)  # fmt: skip
def test_damaged_programs(change: Callable, message: str, own: Path) -> None:
    with pytest.raises(pr.FormatError, match=message) as caught:
        load_model(edited_json(own, "models/model.json", change))
    assert "edited.pt2" in str(caught.value)


def test_other_archives(own: Path) -> None:
    def without(part: str) -> Callable[[dict], dict]:
        return lambda members: {k: v for k, v in members.items() if part not in k}

    def replaced(part: str, data: bytes) -> Callable[[dict], dict]:
        return lambda members: {k: data if part in k else v for k, v in members.items()}

    def twice(members: dict[str, bytes]) -> dict[str, bytes]:
        [name] = [n for n in members if n.endswith("model.json")]
        return members | {name.replace("model.json", "other.json"): members[name]}

    def compiled(members: dict[str, bytes]) -> dict[str, bytes]:
        root = next(iter(members)).split("/")[0]
        return without("models/")(members) | {f"{root}/data/aotinductor/model/a.so": b"\x7fELF"}

    for change, message in (
        (without("archive_format"), "is not a saved torch.export program"),
        (replaced("archive_version", b"3"), "newer archive version"),
        (replaced("byteorder", b"middle"), "other byte order"),
        (without("models/"), "holds 0 programs"),
        (twice, "holds 2 programs"),
        (compiled, "holds a compiled model, which can only be run"),
        (replaced("models/model.json", b"{"), "is no JSON"),
        (replaced("models/model.json", b"[" * 100_000), "is no JSON"),
        (replaced("weights_config.json", b"[]"), "'config' is missing"),
        (without("weights/weight_0"), "lacks"),
        (replaced("weights/weight_0", b"\0"), "larger than its data"),
        (lambda members: {}, "is not a saved torch.export program"),
    ):
        with pytest.raises(pr.FormatError, match=message):
            load_model(edited(own, change))


@pytest.mark.parametrize("data", [b"", b"hello", pickle.dumps([1, 2, 3])])
def test_not_an_archive(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(data)
    with pytest.raises(pr.FormatError, match=r"is not a \.pt2 program, or is cut short"):
        load_model(tmp_path / "net.pt2")


def test_every_operation_that_lowering_knows_may_be_in_a_program() -> None:
    from polyregions.lower.torch.capture import HANDLERS

    known = {name.split(".")[3] for name in operations.OPERATIONS} | {
        name.split(".")[3] for name in operations.ASSERTIONS
    }
    # It writes into its second argument, which nothing else here may.
    assert set(HANDLERS) - {"rrelu_with_noise"} <= known


def test_no_operation_of_the_table_reaches_outside() -> None:
    """They take tensors and numbers: no file name, callable, object or pointer."""
    plain = r"(Tensor|number|int|float|bool|Device|Generator)"
    texts = {
        ("gelu", "approximate"), ("pad", "mode"), ("einsum", "equation"), ("div", "rounding_mode"),
        ("divide", "rounding_mode"), ("conv1d", "padding"), ("conv2d", "padding"),
        ("conv3d", "padding"),
    }  # fmt: skip
    for name, operation in operations.OPERATIONS.items():
        assert name.startswith("torch.ops.aten.")
        for i, argument in enumerate(operation._schema.arguments):
            assert not (i and argument.alias_info and argument.alias_info.is_write), name
            kind = re.sub(r"Optional\[(.*)\]", r"\1", str(argument.type))
            kind = re.sub(r"List\[(.*)\]", r"\1", kind)
            is_known_text = (name.split(".")[3].rstrip("_"), argument.name) in texts
            assert re.fullmatch(plain, kind) or is_known_text, (name, argument)


# -- the user's own code -----------------------------------------------------------------------


OWN = """
import torch
from torch import nn
from beside import WIDTH

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(2, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))
layers = [([[1.0, 0.0]], [0.0]), ([[1.0]], None)]
number = 3


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))


class Zoo:
    @staticmethod
    def small():
        return Net()


def make():
    from beside import WIDTH as again
    return net


def broken():
    raise KeyError("weights")


def leaves():
    raise SystemExit(3)


def nothing():
    return "a string"
"""


@pytest.fixture
def own_code(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("WIDTH = 5\n")
    (tmp_path / "torch_net.py").write_text(OWN)
    return tmp_path / "torch_net.py"


@pytest.mark.parametrize(
    ("attribute", "kind"),
    [
        ("net", nn.Sequential), ("make", nn.Sequential), ("Net", nn.Sequential),
        ("Zoo.small", nn.Sequential), ("layers", list),
    ],
)  # fmt: skip
def test_own_code(attribute: str, kind: type, own_code: Path) -> None:
    path = list(sys.path)
    model = load_model(f"{own_code}:{attribute}")
    assert isinstance(model, kind)
    assert len(pr.partition(model)) >= 2
    assert sys.path == path


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("missing", r"has no 'missing'; it defines net, layers, Net, Zoo, make, broken"),
        ("number", "is a int, neither a model nor callable"),
        ("broken", r"broken\(\) raised KeyError: 'weights'"),
        ("leaves", r"leaves\(\) raised SystemExit: 3"),
        ("nothing", r"nothing\(\) returned a str; it must return a torch.nn.Module"),
    ],
)
def test_own_code_that_gives_no_model(attribute: str, message: str, own_code: Path) -> None:
    with pytest.raises(pr.FormatError, match=message):
        load_model(f"{own_code}:{attribute}")


def test_own_code_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(pr.FormatError, match="raised ModuleNotFoundError when imported"):
        load_model(f"{tmp_path / 'a.py'}:net")
    (tmp_path / "b.py").write_text("def net(:\n")
    with pytest.raises(pr.FormatError, match="raised SyntaxError"):
        load_model(f"{tmp_path / 'b.py'}:net")
    with pytest.raises(FileNotFoundError, match=r"no file .*c\.py"):
        load_model(f"{tmp_path / 'c.py'}:net")
    with pytest.raises(pr.FormatError, match=r"say which object gives the model, as in"):
        load_model(tmp_path / "a.py")


def test_own_file_may_be_called_like_a_module(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("layers = [([[1.0, 0.0]], [0.0])]\n")
    assert load_model(f"{tmp_path / 'numpy.py'}:layers") == [([[1.0, 0.0]], [0.0])]
    assert sys.modules["numpy"] is np


# -- the rest ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["net", "net.h5", "net.txt", "net.py:", "net.pt2:x"])
def test_unknown_kinds(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("hello")
    with pytest.raises((pr.FormatError, OSError), match=r"must be a \.pt2 file|no file"):
        load_model(tmp_path / name)


@pytest.mark.parametrize("name", ["net.npz", "net.pt", "net.pth", "net.pt2"])
def test_missing_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / name)


def test_importing_io_is_free_of_torch() -> None:
    code = "import sys, polyregions.io; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- networks without torch ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", ">f4"])
@pytest.mark.parametrize(
    "activation",
    [
        "relu",
        "leaky_relu",
        "leaky_relu:0.2",
        "abs",
        "relu6",
        "hardtanh",
        "hardtanh:-2:0.5",
        "identity",
    ],
)
def test_networks_of_arrays_are_those_of_the_modules(
    activation: str, dtype: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "net.npz"
    arrays = {"W0": (5, 2), "b0": (5,), "W1": (4, 5), "W2": (3, 4), "b2": (3,)}
    np.savez(path, **{k: rng.integers(-40, 40, n).astype(dtype) for k, n in arrays.items()})
    network = load_network(path, activation=activation)
    expected = pr.lower(load_model(path, activation=activation))
    x = rng.normal(size=(200, 2)) / 100
    np.testing.assert_array_equal(network(x), expected(x))
    affine = [step for step in network.steps if isinstance(step, Affine)]
    for a, b in zip(affine, (s for s in expected.steps if isinstance(s, Affine)), strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)
        np.testing.assert_array_equal(a.bias, b.bias)
    transposed = tmp_path / "transposed.npz"
    contents = np.load(path)
    np.savez(transposed, **{k: contents[k].T for k in arrays})
    again = load_network(transposed, activation=activation, transpose=True)
    np.testing.assert_array_equal(again(x), network(x))


def test_networks_of_other_files(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    path = tmp_path / "net.pt"
    torch.save(model.state_dict(), path)
    x = np.ones((1, 2))
    np.testing.assert_array_equal(load_network(path)(x), pr.lower(model)(x))
    pr.partition(model).save(tmp_path / "part.npz")
    with pytest.raises(pr.FormatError, match="is a saved partition"):
        load_network(tmp_path / "part.npz")
    np.savez(tmp_path / "bad.npz", W0=np.ones((2, 3)), W1=np.ones((2, 2)), b1=np.ones(5))
    with pytest.raises(pr.FormatError, match="shapes do not chain"):
        load_network(tmp_path / "bad.npz")
    with pytest.raises(ValueError, match="must be one of relu"):
        load_network(tmp_path / "bad.npz", activation="tanh")
