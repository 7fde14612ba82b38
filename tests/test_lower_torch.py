"""Torch models of every shape are lowered to the same network, or refused with a reason."""

import subprocess
import sys
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import polyregions as pr
from polyregions.network import Activation, Affine, Scale
from polyregions.torch_forward import dtype_precision


def points(n=200, size=3.0):
    return np.random.default_rng(0).uniform(-size, size, (n, 2)).astype(np.float32).astype(float)


def values(model, xy, dtype=torch.float64):
    """The model's own forward in float64, and its parameters are float32 or less."""
    with torch.no_grad():
        out = model.double()(torch.from_numpy(xy)).to(dtype).numpy()
    return out.reshape(len(xy), -1)


def kinds(network):
    return [type(step).__name__ for step in network.steps]


def assert_lowers(model, *, atol=1e-12):
    network = pr.lower(model)
    xy = points()
    np.testing.assert_allclose(network(xy), values(model, xy), rtol=1e-12, atol=atol)
    return network


def test_sequential_is_read_exactly():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 7), nn.ReLU(), nn.Linear(7, 3, bias=False))
    network = pr.lower(model)
    assert kinds(network) == ["Affine", "Activation", "Affine"]
    np.testing.assert_array_equal(network.steps[0].weight, model[0].weight.detach().double())
    np.testing.assert_array_equal(network.steps[0].bias, model[0].bias.detach().double())
    np.testing.assert_array_equal(network.steps[2].bias, np.zeros(3))
    assert pr.lower(network) is network
    assert repr(network) == "<Network 2-7-3, 7 units>"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_of_every_dtype_are_read_exactly(dtype, wrapped):
    torch.manual_seed(1)
    inner = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)).to(dtype)
    model = Wrapper(inner) if wrapped else inner
    network = pr.lower(model)
    for step, layer in zip(network.steps[::2], inner[::2], strict=True):
        np.testing.assert_array_equal(step.weight, layer.weight.detach().double().numpy())
        np.testing.assert_array_equal(step.bias, layer.bias.detach().double().numpy())


class Wrapper(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def test_parameters_that_need_gradients_and_noncontiguous_ones():
    weight = torch.randn(2, 5, requires_grad=True)
    model = nn.Linear(2, 5)
    model.weight = nn.Parameter(weight.T)
    assert not model.weight.is_contiguous()
    np.testing.assert_array_equal(pr.lower(model).steps[0].weight, weight.detach().T.double())


class PlainList(nn.Module):
    """Layers in a Python list, whose parameters torch does not register."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        torch.manual_seed(0)
        self.LinLayers = []
        for n, m in [(2, 5), (5, 5), (5, 5), (5, 5), (5, 1)]:
            self.LinLayers.append(nn.Linear(n, m, dtype=dtype))

    def forward(self, x):
        for layer in self.LinLayers[:-1]:
            x = torch.relu(layer(x))
        return self.LinLayers[-1](x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_layers_in_a_plain_list(dtype):
    model = PlainList(dtype)
    assert list(model.parameters()) == []
    network = pr.lower(model)
    for step, layer in zip(network.steps[::2], model.LinLayers, strict=True):
        np.testing.assert_array_equal(step.weight, layer.weight.detach().double())


RELUS = {
    "F.relu": F.relu,
    "torch.relu": torch.relu,
    "method": lambda x: x.relu(),
    "in place": lambda x: x.relu_(),
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "clamp": lambda x: x.clamp(min=0),
    "torch.clamp": lambda x: torch.clamp(x, 0, None),
    "clamp_min": lambda x: torch.clamp_min(x, 0.0),
    "module": nn.ReLU(),
}


class Functional(nn.Module):
    def __init__(self, function):
        super().__init__()
        torch.manual_seed(2)
        self.a, self.b, self.function = nn.Linear(2, 6), nn.Linear(6, 2), function

    def forward(self, x):
        return self.b(self.function(self.a(x)))


@pytest.mark.parametrize("name", RELUS)
def test_every_way_to_call_relu(name):
    network = assert_lowers(Functional(RELUS[name]))
    (layer,) = network.activations
    np.testing.assert_array_equal(layer.breakpoints, np.zeros((6, 1)))
    np.testing.assert_array_equal(layer.slopes, np.tile([0.0, 1.0], (6, 1)))


ACTIVATIONS = {
    "leaky": (lambda: nn.LeakyReLU(0.125), [0], [0.125, 1]),
    "leaky default": (lambda: nn.LeakyReLU(), [0], [0.01, 1]),
    "prelu": (lambda: nn.PReLU(init=0.5), [0], [0.5, 1]),
    "relu6": (nn.ReLU6, [0, 6], [0, 1, 0]),
    "hardtanh": (nn.Hardtanh, [-1, 1], [0, 1, 0]),
    "hardtanh bounds": (lambda: nn.Hardtanh(-0.5, 2), [-0.5, 2], [0, 1, 0]),
    "abs": (lambda: torch.abs, [0], [-1, 1]),
    "abs method": (lambda: lambda x: x.abs(), [0], [-1, 1]),
    "clamp": (lambda: lambda x: x.clamp(-1, 0.5), [-1, 0.5], [0, 1, 0]),
    "clamp max": (lambda: lambda x: torch.clamp_max(x, 0.25), [0.25], [1, 0]),
    "F.leaky_relu": (lambda: lambda x: F.leaky_relu(x, 0.25), [0], [0.25, 1]),
    "F.relu6": (lambda: F.relu6, [0, 6], [0, 1, 0]),
    "F.hardtanh": (lambda: lambda x: F.hardtanh(x, -2, 3), [-2, 3], [0, 1, 0]),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation(name):
    make, breakpoints, slopes = ACTIVATIONS[name]
    network = assert_lowers(Functional(make()))
    (layer,) = network.activations
    np.testing.assert_array_equal(layer.breakpoints[0], breakpoints)
    np.testing.assert_array_equal(layer.slopes[0], slopes)
    if isinstance(make(), nn.Module):
        direct = nn.Sequential(nn.Linear(2, 6), make(), nn.Linear(6, 1))
        np.testing.assert_array_equal(assert_lowers(direct).activations[0].slopes, layer.slopes)


def test_prelu_with_a_slope_for_each_unit():
    model = nn.Sequential(nn.Linear(2, 3), nn.PReLU(3), nn.Linear(3, 1))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([0.25, 1.0, -2.0]))
    for network in (assert_lowers(model), assert_lowers(Wrapper(model))):
        layer = network.activations[0]
        np.testing.assert_array_equal(layer.slopes[:, 0], [0.25, 1.0, -2.0])
        # A unit of slope 1 never switches.
        np.testing.assert_array_equal(layer.breakpoints[:, 0], [0.0, np.inf, 0.0])


def batch_norm_model(affine=True):
    torch.manual_seed(3)
    norm = nn.BatchNorm1d(5, affine=affine)
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.1, 2)
    if affine:
        nn.init.uniform_(norm.weight, -2, 2)
        nn.init.uniform_(norm.bias, -2, 2)
    return nn.Sequential(nn.Linear(2, 5), norm, nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, 1))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("wrap", [lambda m: m, Wrapper])
def test_batch_norm_in_eval_mode(affine, wrap):
    model = batch_norm_model(affine).eval()
    network = assert_lowers(wrap(model))
    assert kinds(network) == ["Affine", "Scale", "Activation", "Affine"]
    assert any("rounded" in note for note in network.notes)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, in decomposing
def test_a_decomposed_program_gives_the_same_network():
    model = batch_norm_model().eval()
    program = torch.export.export(model, (torch.zeros(4, 2),)).run_decompositions()
    for a, b in zip(pr.lower(program).steps, pr.lower(model).steps, strict=True):
        assert type(a) is type(b)
        np.testing.assert_array_equal(a(np.ones((1, a.n_inputs))), b(np.ones((1, b.n_inputs))))


def test_batch_norm_factors_are_rounded_once():
    """Against the exact square root: scale = w / sqrt(v) means scale**2 v = w**2."""
    model = batch_norm_model().eval()
    norm = model[1]
    step = pr.lower(model).steps[1]
    assert isinstance(step, Scale)
    weight = norm.weight.detach()
    for w, v, scale in zip(weight, norm.running_var, step.scale, strict=True):
        total = Fraction(float(v)) + Fraction(norm.eps)
        square = Fraction(float(w)) ** 2 / total
        halfway_down = (Fraction(scale) + Fraction(np.nextafter(scale, 0))) / 2
        halfway_up = (Fraction(scale) + Fraction(np.nextafter(scale, 2 * scale))) / 2
        assert halfway_down**2 <= square <= halfway_up**2


@pytest.mark.parametrize("wrap", [lambda m: m, Wrapper])
def test_train_mode_is_refused_where_it_matters(wrap):
    model = batch_norm_model()
    with pytest.raises(ValueError, match=r"train mode.*model\.eval\(\)"):
        pr.lower(wrap(model))
    model[1].eval()
    with pytest.raises(ValueError, match=r"(?i)dropout.*train mode.*at random.*model\.eval\(\)"):
        pr.lower(wrap(model))
    model[3].p = 0.0
    pr.lower(wrap(model))
    # Without such layers a model is the same in both modes.
    pr.lower(wrap(nn.Sequential(nn.Linear(2, 3), nn.ReLU()).train()))


class Reshapes(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.a, self.b = nn.Linear(2, 6), nn.Linear(6, 2)

    def forward(self, x):
        x = self.a(x).view(-1, 2, 3)
        x = F.relu(x).reshape(x.shape[0], 6).unsqueeze(1).squeeze(1)
        return self.b(x.flatten(1).contiguous())


def test_reshapes():
    assert_lowers(Reshapes())
    assert_lowers(nn.Sequential(nn.Linear(2, 4), nn.Flatten(), nn.Identity(), nn.ReLU()))


class Arithmetic(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.register_buffer("weight", torch.randn(4, 2))
        self.register_buffer("mean", torch.tensor([0.5, -1.0]))
        self.register_buffer("factor", torch.tensor([2.0, 3.0]))

    def forward(self, x):
        x = (x - self.mean) / 4 * self.factor
        return -(1 - torch.relu(x @ self.weight.T + 0.5))


def test_arithmetic_with_constants():
    assert_lowers(Arithmetic())


def test_linear_along_the_last_of_several_axes():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(6)
            self.a, self.b = nn.Linear(1, 3), nn.Linear(6, 1)

        def forward(self, x):
            return self.b(F.relu(self.a(x.unsqueeze(2))).flatten(1))

    network = assert_lowers(Model())
    assert network.n_units == 6


def test_unbatched_model():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(7)
            self.weight, self.bias = torch.randn(4, 2), torch.randn(4)

        def forward(self, x):
            if x.ndim != 1:
                raise ValueError("one point at a time")
            return torch.relu(self.weight @ x + self.bias)

    model = Model()
    part = pr.partition(model, (-2, 2))
    assert part.n_units == 4
    assert pr.verify(part, model, resolution=40).ok


@pytest.mark.parametrize("batch", [None, 1, 5])
def test_exported_program(batch):
    torch.manual_seed(8)
    model = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 2))
    example = torch.randn(batch or 3, 2)
    dynamic = ({0: torch.export.Dim("n")},) if batch is None else None
    program = torch.export.export(model, (example,), dynamic_shapes=dynamic)
    a, b = pr.partition(program, (-2, 2)), pr.partition(model, (-2, 2))
    np.testing.assert_array_equal(a.vertex_xy, b.vertex_xy)
    np.testing.assert_array_equal(a.face_weight, b.face_weight)
    report = pr.verify(a, program, resolution=40)
    assert report.ok, str(report)


def test_subclass_of_a_layer_is_not_taken_for_the_layer():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    assert_lowers(nn.Sequential(Doubled(2, 3), nn.ReLU(), nn.Linear(3, 1)))


def test_hooks_and_replaced_forwards_are_not_overlooked():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    model[0].register_forward_hook(lambda module, args, out: out + 1)
    network = assert_lowers(model)
    assert len(network.steps) == 4


def test_a_random_forward_is_found_by_the_check():
    class Random(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(2, 3)

        def forward(self, x):
            return torch.relu(self.a(x)) + torch.rand(3)

    with pytest.raises(pr.LoweringError, match="disagrees with the model's own forward"):
        pr.lower(Random())


CURVED = {
    "GELU": nn.GELU(),
    "SiLU": nn.SiLU(),
    "Tanh": nn.Tanh(),
    "Sigmoid": nn.Sigmoid(),
    "ELU": nn.ELU(),
    "Softplus": nn.Softplus(),
    "LayerNorm": nn.LayerNorm(4),
    "Softmax": nn.Softmax(dim=1),
}


@pytest.mark.parametrize("kind", CURVED)
def test_curved_layers_are_refused_by_name_and_place(kind):
    model = nn.Sequential(nn.Linear(2, 4), CURVED[kind], nn.Linear(4, 1))
    with pytest.raises(pr.UnsupportedLayerError) as error:
        pr.partition(model)
    message = str(error.value)
    assert kind in message
    assert "'1'" in message
    assert "not piecewise linear" in message
    assert "works instead" in message


def test_error_names_the_line_of_a_functional_call():
    class Model(Functional):
        def forward(self, x):
            x = self.a(x)
            return self.b(torch.tanh(x))  # the culprit

    with pytest.raises(pr.UnsupportedLayerError, match=r"test_lower_torch\.py.*torch\.tanh"):
        pr.lower(Model(None))


def test_jumps_and_mixed_batches_are_refused():
    with pytest.raises(pr.UnsupportedLayerError, match="not continuous"):
        pr.lower(nn.Sequential(nn.Linear(2, 4), nn.Hardshrink(), nn.Linear(4, 1)))
    with pytest.raises(pr.UnsupportedLayerError, match="product"):
        pr.lower(Functional(lambda x: x * x))
    with pytest.raises(pr.UnsupportedLayerError, match="batch"):
        pr.lower(Functional(lambda x: x.reshape(-1, 1).relu().reshape(-1, 6)))
    with pytest.raises(pr.UnsupportedLayerError, match="course depends"):
        pr.lower(Functional(lambda x: x if x.sum() > 0 else -x))


def test_several_outputs_are_joined_in_order():
    class Several(Functional):
        def forward(self, x):
            x = self.a(x)
            h = torch.relu(x)
            return {"b": self.b(h), "all": [x.view(-1, 2, 3), (h, None)]}

    network = pr.lower(Several(None))
    assert (network.n_units, network.n_outputs) == (6, 2 + 6 + 6)
    values = network(points())
    np.testing.assert_array_equal(values[:, 8:], np.maximum(values[:, 2:8], 0))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("wrap", [lambda m: m, Wrapper])
def test_weights_that_are_no_numbers(value, wrap):
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        model[2].weight[0, 1] = value
    with pytest.raises(ValueError, match=r"weight of .*NaN or infinite"):
        pr.lower(wrap(model))


def test_wrong_number_of_inputs_asks_for_a_slice():
    with pytest.raises(ValueError, match=r"3 inputs.*slice"):
        pr.partition(nn.Sequential(nn.Linear(3, 4), nn.ReLU()))
    with pytest.raises(ValueError, match="slice"):
        pr.partition(Wrapper(nn.Linear(3, 4)))


def test_shapes_that_do_not_chain():
    with pytest.raises(ValueError, match="chain"):
        pr.lower(nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(3, 1)))


def test_not_a_model():
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        pr.lower("model.pt2")
    with pytest.raises(TypeError):
        pr.lower(lambda x: x)


def test_lowering_leaves_the_model_as_it_was():
    model = PlainList()
    before = torch.random.get_rng_state()
    pr.lower(model)
    assert torch.equal(before, torch.random.get_rng_state())
    trained = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).train()
    pr.lower(trained)
    assert trained.training
    assert all(p.requires_grad and p.grad is None for p in trained.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("wrap", [lambda m: m, Wrapper])
def test_cuda_tensors(wrap):
    torch.manual_seed(9)
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
    expected = pr.partition(model, (-3, 3))
    part = pr.partition(wrap(model.cuda()), (-3, 3))
    np.testing.assert_array_equal(part.vertex_xy, expected.vertex_xy)
    report = pr.verify(part, wrap(model), resolution=100)
    assert report.ok, str(report)


def test_no_warnings_are_raised():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pr.lower(PlainList())


def test_pieces_of_a_layer_must_meet():
    with pytest.raises(ValueError, match="not continuous"):
        Activation(np.zeros((1, 1)), np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]]))
    assert pr.Network((Affine(np.eye(2), np.zeros(2)),), 2).n_units == 0


def test_a_layer_used_twice_is_used_twice():
    torch.manual_seed(1)
    act, middle = nn.ReLU(), nn.Linear(5, 5)
    model = nn.Sequential(nn.Linear(2, 5), act, middle, act, middle, act, nn.Linear(5, 1))
    assert kinds(assert_lowers(model)) == ["Affine", "Activation"] * 3 + ["Affine"]


def test_a_refused_model_is_left_as_it_was():
    model = Wrapper(batch_norm_model())
    model.layers = [nn.BatchNorm1d(5)]
    before = [b.clone() for b in (*model.buffers(), *model.layers[0].buffers())]
    random = torch.random.get_rng_state()
    with pytest.raises(ValueError, match="train mode"):
        pr.lower(model)
    after = [*model.buffers(), *model.layers[0].buffers()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(random, torch.random.get_rng_state())


def test_a_model_without_weights_is_not_given_any():
    model = Wrapper(nn.LazyLinear(3))
    with pytest.raises(ValueError, match="no weights yet"):
        pr.lower(model)
    assert isinstance(model.inner, nn.LazyLinear)


def test_casts_to_integers_are_refused():
    with pytest.raises(pr.UnsupportedLayerError, match="not continuous"):
        pr.lower(Functional(lambda x: x.to(torch.int32).to(x.dtype)))


# -- settings and modes of torch -------------------------------------------------------------------


@pytest.fixture
def precision():
    """Sets how float32 matrix products are done, and sets it back."""
    places = {
        "all": torch.backends,
        "cuda": torch.backends.cuda.matmul,
        "onednn": getattr(torch.backends.mkldnn, "matmul", None),
    }
    if not all(hasattr(place, "fp32_precision") for place in places.values()):
        pytest.skip("this torch sets it for all backends at once")
    before = {name: place.fp32_precision for name, place in places.items()}
    yield lambda name, value: setattr(places[name], "fp32_precision", value)
    for name, value in before.items():
        places[name].fp32_precision = value


@pytest.mark.parametrize(
    ("where", "value", "roundoff"),
    [
        ("all", "tf32", 2.0**-11),
        ("all", "bf16", 2.0**-8),
        ("cuda", "tf32", 2.0**-11),
        ("onednn", "bf16", 2.0**-8),
        ("onednn", "ieee", 2.0**-24),
    ],
)
def test_precision_that_was_set_for_a_backend(precision, where, value, roundoff):
    """Torch's older way to ask for it raises then."""
    precision(where, value)
    assert dtype_precision(torch.float32).unit_roundoff == roundoff
    assert dtype_precision(torch.float64).unit_roundoff == 2.0**-53
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    part = pr.partition(model)
    assert pr.verify(part, model, resolution=10).ok


@pytest.mark.parametrize(
    ("name", "roundoff"), [("highest", 2.0**-24), ("high", 2.0**-11), ("medium", 2.0**-8)]
)
def test_precision_that_was_set_for_all(name, roundoff):
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(name)
        assert dtype_precision(torch.float32).unit_roundoff == roundoff
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("wrap", [lambda m: m, Wrapper])
def test_another_default_device(wrap):
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.device("meta"):
        network = pr.lower(wrap(model))
        part = pr.partition(wrap(model))
        assert pr.verify(part, wrap(model), resolution=10).ok
    for a, b in zip(network.steps, pr.lower(model).steps, strict=True):
        np.testing.assert_array_equal(a(np.ones((1, a.n_inputs))), b(np.ones((1, b.n_inputs))))


@pytest.mark.parametrize("wrap", [lambda m: m, Wrapper])
def test_models_without_numbers(wrap):
    with torch.device("meta"):
        model = wrap(nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)))
    with pytest.raises(ValueError, match="is on the meta device"):
        pr.lower(model)


def without_gradients(h):
    with torch.no_grad():
        return torch.relu(h)


def partly_with_gradients(h):
    with torch.no_grad():
        h = torch.relu(2 * h)
        with torch.enable_grad():
            h = h + 1
        return torch.abs(h - 3).neg_()


@pytest.mark.parametrize("act", [without_gradients, partly_with_gradients])
def test_no_grad_inside_a_forward(act):
    model = Functional(act)
    assert_lowers(model)
    model = model.float()
    part = pr.partition(model, (-3, 3))
    report = pr.verify(part, model, resolution=30)
    assert report.ok, str(report)
    # The model has no Jacobian to compare with, which is not a Jacobian of zero.
    assert "jacobians" not in [check.name for check in report.checks if check.n]


def test_constants_worked_out_without_gradients():
    class Doubled(Functional):
        def forward(self, x):
            with torch.no_grad():
                weight = 2 * self.a.weight
            return self.b(torch.relu(x @ weight.T))

    assert_lowers(Doubled(None))


def test_autocast_is_refused():
    def coarse(h):
        with torch.autocast("cpu", torch.bfloat16):
            return torch.relu(h)

    with pytest.raises(pr.UnsupportedLayerError, match=r"torch\.autocast.*model\.bfloat16"):
        pr.lower(Functional(coarse))

    def fine(h):
        with torch.autocast("cpu", enabled=False):
            return torch.relu(h)

    assert_lowers(Functional(fine))


# -- refusals that say why -------------------------------------------------------------------------


@pytest.mark.parametrize("act", [lambda h: h - h, lambda h: h + h, lambda h: torch.relu(h) - h])
def test_sums_of_branches(act):
    assert_lowers(Functional(act))


@pytest.mark.parametrize("act", [lambda h: h * h, lambda h: h / (h + 5), lambda h: h @ h.T @ h])
def test_products_of_values_are_refused(act):
    with pytest.raises(pr.UnsupportedLayerError):
        pr.lower(Functional(act))
    with pytest.raises(pr.UnsupportedLayerError, match="not piecewise linear"):
        pr.lower(Functional(lambda h: h * h))


def test_a_product_of_an_unbatched_input_with_itself():
    class Square(nn.Module):
        def forward(self, x):
            assert x.ndim == 1, "one point at a time"
            return x @ x

    with pytest.raises(pr.UnsupportedLayerError, match="not piecewise linear"):
        pr.lower(Square())


@pytest.mark.parametrize("shape", [(5,), (1, 5), (1,), (1, 1)])
def test_addmm_with_every_shape_of_bias(shape):
    class Added(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(3)
            self.a, self.b = nn.Linear(2, 5), nn.Linear(5, 1)
            self.bias = nn.Parameter(torch.randn(shape))

        def forward(self, x):
            return self.b(torch.relu(torch.addmm(self.bias, x, self.a.weight.T)))

    assert_lowers(Added())


def test_addmm_with_a_bias_for_each_point():
    class Added(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 4))
            self.bias = nn.Parameter(torch.randn(3, 4))

        def forward(self, x):
            return torch.addmm(self.bias, x, self.weight)

    program = torch.export.export(Added(), (torch.zeros(3, 2),))
    with pytest.raises(pr.UnsupportedLayerError, match="axis of the batch"):
        pr.lower(program)


@pytest.mark.parametrize("wrap", [lambda m: m, Wrapper])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_without_statistics_is_not_told_to_call_eval(wrap, training):
    norm = nn.BatchNorm1d(4, track_running_stats=False)
    model = wrap(nn.Sequential(nn.Linear(2, 4), norm, nn.ReLU(), nn.Linear(4, 1))).train(training)
    with pytest.raises(ValueError, match="no running statistics") as error:
        pr.lower(model)
    assert "eval()" not in str(error.value)


def test_models_of_several_arguments_are_not_told_to_take_a_slice():
    class Two(Functional):
        def forward(self, x, y):
            return self.b(self.a(x) + y)

    class Named(Functional):
        def forward(self, *, x):
            return self.b(self.a(x))

    class Optional(Functional):
        def forward(self, x, scale=2.0, *, shift=0.5):
            return self.b(torch.relu(self.a(x)) * scale + shift)

    for model in (Two(None), Named(None)):
        with pytest.raises(
            ValueError, match=r"cannot be called with one tensor\. Wrap it"
        ) as error:
            pr.lower(model)
        assert "slice" not in str(error.value)
    assert_lowers(Optional(None))


def test_networks_without_outputs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of making a layer without weights
        model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 0))
    with pytest.raises(ValueError, match=r"layer '2' \(Linear\) has no outputs"):
        pr.lower(model)


# -- warnings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda m: m, Wrapper])
def test_weight_norm_of_the_old_style(wrap):
    """Its weight is an attribute that a hook makes anew on every call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        first = torch.nn.utils.weight_norm(nn.Linear(2, 5))
    model = wrap(nn.Sequential(first, nn.ReLU(), nn.Linear(5, 1)))
    network = pr.lower(model)  # warnings are errors here
    model(torch.zeros(1, 2))
    assert type(first.weight) is torch.Tensor
    np.testing.assert_array_equal(network.steps[0].weight, first.weight.detach().double())


def test_bounds_and_slopes_that_are_tensors():
    torch.manual_seed(0)
    first, last = nn.Linear(2, 4), nn.Linear(4, 1)
    for act, plain in [
        (nn.Hardtanh(torch.tensor(-0.5), torch.tensor(0.75)), nn.Hardtanh(-0.5, 0.75)),
        (nn.LeakyReLU(torch.tensor(0.25)), nn.LeakyReLU(0.25)),
    ]:
        step, expected = (pr.lower(nn.Sequential(first, a, last)).steps[1] for a in (act, plain))
        np.testing.assert_array_equal(step.breakpoints, expected.breakpoints)
        np.testing.assert_array_equal(step.slopes, expected.slopes)
        np.testing.assert_array_equal(step.intercepts, expected.intercepts)
    with pytest.raises(pr.UnsupportedLayerError, match="no plain number"):
        pr.lower(nn.Sequential(first, nn.LeakyReLU(torch.ones(4)), last))


def test_a_plain_stack_is_lowered_without_torchs_compiler():
    """Importing it takes as long as importing the rest of torch."""
    code = (
        "import sys, torch, polyregions as pr\n"
        "if 'torch._dynamo' in sys.modules: sys.exit()\n"
        "from torch import nn\n"
        "model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))\n"
        "part = pr.partition(model)\n"
        "assert 'torch._dynamo' not in sys.modules\n"
        "assert pr.verify(part, model, resolution=5).ok"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# -- networks that are no chains -------------------------------------------------------------------


class Residual(nn.Module):
    """Branches, a shared layer, a convolution, maxima and several shapes on the way."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.first, self.shared = nn.Linear(2, 6), nn.Linear(6, 6)
        self.conv, self.norm = nn.Conv1d(2, 3, 2, padding=1), nn.BatchNorm1d(3)
        self.norm.running_mean.uniform_(-1, 1)
        self.last = nn.Linear(8, 2)
        self.eval()

    def forward(self, x):
        h = F.relu(self.first(x))
        h = h + F.relu(self.shared(h), inplace=True)
        h = self.shared(h) - h
        picture = self.norm(self.conv(h.view(-1, 2, 3)))
        pooled = F.max_pool1d(picture, 2)
        widest = torch.maximum(h, -h).view(-1, 2, 3).amax(2)
        return self.last(torch.cat([pooled.flatten(1), widest], dim=1))


def test_residual_networks():
    model = Residual()
    network = assert_lowers(model)
    assert not network.is_chain
    assert [layer.n_outputs for layer in network.activations] == [6, 6, 6, 6, 2]


@pytest.mark.parametrize("export", [False, True])
def test_a_residual_network_is_partitioned_and_verified(export):
    model = Residual()
    given = torch.export.export(model, (torch.zeros(5, 2),)) if export else model
    part = pr.partition(given, (-2, 2))
    assert part.certificate.ok
    report = pr.verify(part, given, resolution=40)
    assert report.ok, str(report)
    checked = {check.name: check.n for check in report.checks}
    assert min(checked[name] for name in ("patterns", "jacobians", "edges")) > 100


@pytest.mark.parametrize(
    "make",
    [
        Residual,
        lambda: Functional(lambda h: torch.maximum(h, -h.flip(1)) - F.hardsigmoid(h)),
        lambda: nn.Sequential(
            nn.Linear(2, 12), nn.Unflatten(1, (1, 3, 4)), nn.Conv2d(1, 2, 2), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(2, 1),
        ),
    ],
)  # fmt: skip
def test_both_engines_agree_on_networks_that_are_no_chains(make):
    torch.manual_seed(0)
    model = make()
    part, expected = (pr.partition(model, (-2, 2), engine=e) for e in ("exact", "rational"))
    assert part.count() == expected.count()
    assert (part.n_vertices, part.n_edges) == (expected.n_vertices, expected.n_edges)
    assert pr.verify(part, model, resolution=30).ok


def test_pictures_need_their_shape():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4)
    )
    with pytest.raises(ValueError, match=r"cannot tell what inputs.*shape=\(1, 28, 28\)"):
        pr.lower(model)
    with pytest.raises(ValueError, match=r"no input of shape \(1, 4, 4\).*without the axis"):
        pr.lower(model, shape=(1, 4, 4))
    network = pr.lower(model, shape=(1, 10, 10))
    assert (network.n_inputs, network.n_units) == (100, 3 * 16 + 3 * 4)
    x = np.random.default_rng(0).normal(size=(20, 100))
    with torch.no_grad():
        expected = model.double()(torch.from_numpy(x).view(-1, 1, 10, 10)).numpy()
    np.testing.assert_allclose(network(x), expected, atol=1e-13)
    with pytest.raises(ValueError, match="slice"):
        pr.partition(nn.Sequential(nn.Flatten(), nn.Linear(100, 3)))


def test_shapes_that_are_told():
    # The entries of one picture, or a batch of two: only the shape says which.
    model = Wrapper(nn.Linear(3, 1))
    assert pr.lower(model, shape=(2, 3)).n_outputs == 2
    assert pr.lower(model, shape=(3,)).n_outputs == 1
    program = torch.export.export(model, (torch.zeros(2, 3),))
    assert pr.lower(program).n_inputs == 3
    assert pr.lower(program, shape=(2, 3)).n_inputs == 6
    with pytest.raises(ValueError, match=r"program takes inputs of shape \(3,\)"):
        pr.lower(program, shape=(5,))


def through_views(h):
    h = h.clone()
    h[:, 0].relu_()
    h[:, 1:3] = h[:, 3:5] - 1
    rest = h.view(-1, 2, 3)
    rest[:, 1, 2] += 2
    rest.clamp_(max=1)
    return h


def test_writing_through_views():
    """Other names for the same values change as well."""
    network = assert_lowers(Functional(through_views))
    assert [layer.n_outputs for layer in network.activations] == [1, 6]


def test_the_batch_may_stand_anywhere():
    assert_lowers(Functional(lambda h: (h.T + torch.relu(h.T)).T))
    stacked = Functional(lambda h: torch.stack([h, -h]).relu().sum(0))
    assert assert_lowers(stacked).n_units == 12
    with pytest.raises(pr.UnsupportedLayerError, match="batch as axis 1"):
        pr.lower(Wrapper(nn.Sequential(nn.Linear(2, 3), Transposed())))


class Transposed(nn.Module):
    def forward(self, x):
        return x.T


@pytest.mark.parametrize("kind", ["MultiheadAttention", "TransformerEncoderLayer"])
def test_attention_is_refused_as_such(kind):
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(2, 4)
            args = (4, 2) if kind == "MultiheadAttention" else (4, 2, 8)
            self.att = getattr(nn, kind)(*args, batch_first=True)

        def forward(self, x):
            h = self.a(x)[:, None]
            return self.att(h, h, h)[0] if kind == "MultiheadAttention" else self.att(h)

    with pytest.raises(
        pr.UnsupportedLayerError, match=r"^the attention in layer 'att.*not piecewise"
    ):
        pr.lower(Attends().eval())


@pytest.mark.parametrize("size", [1, 6])
def test_programs_of_one_size_of_batch(size):
    model = Functional(lambda h: torch.relu(h.squeeze()).reshape(h.shape) + h)
    program = torch.export.export(model.eval(), (torch.zeros(size, 2),))
    part = pr.partition(program, (-2, 2))
    assert part.n_units == 6
    report = pr.verify(part, program, resolution=20)
    assert report.ok, str(report)
    assert report.check("patterns").n > 0


def test_units_that_nothing_uses():
    """They are no units of the network, nor are they mistaken for some."""

    class Wasteful(Functional):
        def forward(self, x):
            h = self.a(x)
            torch.relu(h + 1)
            torch.relu(h).max(1)
            return torch.relu(h) * (torch.sigmoid(self.b.weight.sum()))

    model = Wasteful(None)
    part = pr.partition(model, (-2, 2))
    assert part.n_units == 6
    report = pr.verify(part, model, resolution=20)
    assert report.ok, str(report)
    assert report.check("patterns").n > 0


def test_units_that_cannot_be_told_from_without():
    """The network bends at x = 1 by its own numbers, the forward at 3x = 3."""
    model = Functional(lambda h: torch.where(3 * h - 3 <= 0, h - 1, 0.0))
    part = pr.partition(model, (-2, 2))
    report = pr.verify(part, model, resolution=20)
    assert report.ok, str(report)
    assert (report.check("patterns").n, report.check("edges").n) == (0, 0)
    assert "does not show the units of" in report.check("patterns").example
    assert report.check("values").n > 0


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda h: h * (h > 0), "comparison as a value"),
        (lambda h: torch.where(h > 0, h, h + 1), "jumps at 0"),
        (lambda h: torch.where(h > 0, h, torch.relu(h.flip(1))), "jumps in general"),
        (lambda h: torch.where(h > h.flip(1), h, 0.0), "jumps in general"),
        (lambda h: torch.where(h > 0, h.flip(1), -h.flip(1)), "not seen to meet"),
        (lambda h: torch.where(h * 3 > 1, h * 3, h * 0.1 + 0.9666), "no float64 numbers"),
        (lambda h: F.threshold(h, 0.0, 1.0), "jumps at 0"),
        (lambda h: h.gather(1, h.max(1, keepdim=True)[1]) + h, "places of maxima, which jump"),
        (lambda h: torch.special.i0(h), "not supported"),
        (lambda h: torch.fft.fft(h).real, "not supported"),
        (lambda h: torch.div(h, 2, rounding_mode="floor"), "rounds its quotient"),
        (lambda h: torch.einsum("...i,ji->...j", h, torch.ones(6, 6)), "ellipsis"),
        (lambda h: h @ h.T @ h, "product or quotient"),
        (lambda h: h + F.conv1d(torch.ones(1, 1, 6), h[:, None])[:1, 0], "kernel that depends"),
        (lambda h: h - h.mean(0), "axis of the batch"),
        (lambda h: F.rrelu(h, training=True), "train mode"),
    ],
)
def test_forms_that_are_refused(act, why):
    with pytest.raises((pr.UnsupportedLayerError, ValueError), match=why) as error:
        pr.lower(Functional(act))
    assert "test_lower_torch.py" in str(error.value)


def test_outputs_that_are_refused():
    class Returns(Functional):
        def forward(self, x):
            return self.function(self.b(self.a(x)))

    for function, why in [
        (lambda h: h > 0, "output 0 of the model is a comparison"),
        (lambda h: h.max(1), "places of maxima"),
        (lambda h: (h, torch.ones(1)), "output 1 of the model does not depend"),
    ]:
        with pytest.raises(pr.UnsupportedLayerError, match=why):
            pr.lower(Returns(function))
    with pytest.raises(ValueError, match="does not depend on its input"):
        pr.lower(Returns(lambda h: torch.zeros(len(h), 2)))
