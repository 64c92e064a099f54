"""The built-in network: activations, inits, norms, residual blocks, and where its randomness comes from."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gradlab import ACTIVATIONS, INITS, NORMS, Config, build_network

Z = torch.linspace(-6, 6, 241, dtype=torch.float64)
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017, equation 14

FORMULAS = {
    "linear": lambda z: z,
    "relu": lambda z: max(z, 0.0),
    "leaky_relu": lambda z: z if z > 0 else 0.2 * z,
    "tanh": math.tanh,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "gelu": lambda z: z * 0.5 * (1 + math.erf(z / math.sqrt(2))),
    "selu": lambda z: SELU_SCALE * (z if z > 0 else SELU_ALPHA * math.expm1(z)),
    "silu": lambda z: z / (1 + math.exp(-z)),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_its_formula(name):
    expected = np.array([FORMULAS[name](z) for z in Z.tolist()])
    # float64: torch's exp, tanh and erf differ from libm's in the last digits; 1 + erf cancels at the left end
    torch.testing.assert_close(ACTIVATIONS[name]()(Z), torch.tensor(expected), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_applied_entry_by_entry(name):
    z = Z.reshape(1, 241)
    whole = ACTIVATIONS[name]()(z)
    assert whole.shape == z.shape
    for i in (0, 100, 240):
        torch.testing.assert_close(
            ACTIVATIONS[name]()(z[:, i]), whole[:, i], rtol=1e-14, atol=0
        )  # vector or scalar code


def formula_std(name, fan_in, fan_out, gain):
    return (
        gain
        * {
            "normal": 1 / math.sqrt(fan_in),
            "kaiming": math.sqrt(2 / fan_in),
            "kaiming_uniform": math.sqrt(2 / fan_in),
            "xavier": math.sqrt(2 / (fan_in + fan_out)),
            "xavier_uniform": math.sqrt(2 / (fan_in + fan_out)),
            "orthogonal": 1 / math.sqrt(max(fan_in, fan_out)),
            "pytorch": 1 / math.sqrt(3 * fan_in),
            "fixed": 1.0,
        }[name]
    )


RANDOM = [name for name in INITS if name not in ("zeros", "constant")]


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("gain", [0.5, 1.0, 3.0])
def test_the_weights_of_an_init_have_the_variance_of_its_formula(name, gain, untouched_rng):
    """200 x 600 entries know their variance to sqrt(2 / 120000) = 0.4 % (less if uniform); 2 % is five such."""
    weight = torch.empty(200, 600, dtype=torch.float64)
    INITS[name](weight, gain, generator())
    expected = formula_std(name, 600, 200, gain) ** 2
    assert float(weight.square().mean()) == pytest.approx(expected, rel=0.02)
    assert abs(float(weight.mean())) < 5 * math.sqrt(expected / weight.numel())  # five standard errors


UNIFORM = ("kaiming_uniform", "xavier_uniform", "pytorch")


@pytest.mark.parametrize(
    ("name", "fourth"),
    [*((n, 3.0) for n in ("normal", "kaiming", "xavier", "fixed")), *((n, 1.8) for n in UNIFORM)],
)
def test_normal_inits_are_normal_and_uniform_ones_uniform(name, fourth):
    """E x^4 / (E x^2)^2 is 3 for a normal, 9/5 for a uniform; its standard error here is below 1.5 %."""
    weight = torch.empty(200, 600, dtype=torch.float64)
    INITS[name](weight, 1.0, generator())
    kurtosis = weight.pow(4).mean() / weight.square().mean() ** 2
    assert float(kurtosis) == pytest.approx(fourth, rel=0.05)
    if name in UNIFORM:
        bound = math.sqrt(3) * formula_std(name, 600, 200, 1.0)
        assert 0.999 * bound < float(weight.abs().max()) <= bound


@pytest.mark.parametrize("name", RANDOM)
def test_the_fan_of_a_convolution_counts_its_kernel(name):
    weight = torch.empty(64, 32, 3, 3, dtype=torch.float64)
    INITS[name](weight, 1.0, generator())
    fans = (32 * 9, 64) if name == "orthogonal" else (32 * 9, 64 * 9)  # orthogonal is so as a 64 x 288 matrix
    # 18432 entries know their variance to 1 %; 6 % is more than five such
    assert float(weight.var()) == pytest.approx(formula_std(name, *fans, 1.0) ** 2, rel=0.06)


@pytest.mark.parametrize("shape", [(50, 50), (30, 70), (70, 30), (16, 8, 3, 3)])
@pytest.mark.parametrize("gain", [0.3, 1.0, 2.0])
def test_every_singular_value_of_an_orthogonal_init_is_the_gain(shape, gain):
    weight = torch.empty(shape, dtype=torch.float64)
    INITS["orthogonal"](weight, gain, generator())
    values = torch.linalg.svdvals(weight.flatten(1))
    torch.testing.assert_close(values, torch.full_like(values, gain), rtol=1e-12, atol=0)  # QR in float64


def test_zeros_and_constant_are_what_they_say():
    weight = torch.empty(4, 5)
    INITS["constant"](weight, 0.25, generator())
    assert torch.equal(weight, torch.full((4, 5), 0.25))
    INITS["zeros"](weight, 3.0, generator())
    assert torch.equal(weight, torch.zeros(4, 5))


@pytest.mark.parametrize("name", RANDOM)
def test_an_init_draws_from_its_generator_only(name, untouched_rng):
    a, b, c = (torch.empty(6, 7) for _ in range(3))
    own = generator(3)
    INITS[name](a, 1.0, own)
    INITS[name](b, 1.0, generator(3))
    INITS[name](c, 1.0, own)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)  # the generator has moved on


NORM_FORMULAS = {
    "none": lambda z: z,
    "batch": lambda z: (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt(),
    "layer": lambda z: (z - z.mean(1, keepdim=True)) / (z.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt(),
    "rms": lambda z: z / (z.square().mean(1, keepdim=True) + torch.finfo(z.dtype).eps).sqrt(),
}


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_is_its_formula(name):
    z = 3 * torch.randn(40, 12, generator=generator(), dtype=torch.float64) + 1
    out = NORMS[name](12).double()(z)
    torch.testing.assert_close(out, NORM_FORMULAS[name](z), rtol=1e-10, atol=1e-12)  # float64, sums of 40 terms


def build(inputs=3, outputs=2, seed=0, dtype=torch.float64, **knobs):
    return build_network(Config(**knobs), inputs, outputs, generator(seed), dtype)


def layer(network, i):
    state = network.state_dict()
    return state[f"linears.{i}.weight"], state[f"linears.{i}.bias"]


def test_depth_counts_hidden_layers():
    for depth in (0, 1, 5):
        shapes = [tuple(p.shape) for p in build(depth=depth, width=7).parameters() if p.dim() == 2]
        sizes = [3, *[7] * depth, 2]
        assert shapes == list(zip(sizes[1:], sizes[:-1], strict=True))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_hidden_layer_is_phi_of_norm_of_wh_plus_b(activation, norm):
    network = build(depth=2, width=7, activation=activation, norm=norm, bias_std=0.5)
    x = torch.randn(9, 3, generator=generator(1), dtype=torch.float64)
    h = x
    for i in range(2):
        w, b = layer(network, i)
        h = ACTIVATIONS[activation]()(NORM_FORMULAS[norm](h @ w.T + b))
    w, b = layer(network, 2)
    torch.testing.assert_close(network(x), h @ w.T + b, rtol=1e-9, atol=1e-11)  # float64, three small products


@pytest.mark.parametrize("norm", NORMS)
def test_a_residual_block_is_h_plus_w_phi_of_norm_of_h_plus_b(norm):
    network = build(depth=4, width=7, activation="tanh", norm=norm, residual=True, bias_std=0.5)
    x = torch.randn(9, 3, generator=generator(1), dtype=torch.float64)
    w, b = layer(network, 0)
    h = x @ w.T + b  # the first layer only maps the input to the width
    for i in (1, 2, 3):
        w, b = layer(network, i)
        h = h + torch.tanh(NORM_FORMULAS[norm](h)) @ w.T + b
    w, b = layer(network, 4)
    torch.testing.assert_close(network(x), h @ w.T + b, rtol=1e-9, atol=1e-11)  # float64, five small products


def test_a_residual_network_of_one_hidden_layer_is_linear():
    network = build(depth=1, width=7, residual=True)
    (w1, b1), (w2, b2) = layer(network, 0), layer(network, 1)
    x = torch.randn(5, 3, generator=generator(1), dtype=torch.float64)
    torch.testing.assert_close(network(x), (x @ w1.T + b1) @ w2.T + b2, rtol=1e-12, atol=1e-14)


def test_without_hidden_layers_the_network_is_one_linear_map():
    network = build(depth=0)
    w, b = layer(network, 0)
    x = torch.randn(5, 3, generator=generator(1), dtype=torch.float64)
    torch.testing.assert_close(network(x), F.linear(x, w, b), rtol=1e-14, atol=0)


def test_the_biases_have_the_standard_deviation_asked_for_and_zero_by_default():
    """60 x 60 biases know their deviation to 1.2 %; 6 % is five such."""
    biases = torch.cat([p.detach() for p in build(depth=60, width=60, bias_std=0.3).parameters() if p.dim() == 1])
    assert float(biases.std()) == pytest.approx(0.3, rel=0.06)
    assert all(not p.any() for p in build(depth=3).parameters() if p.dim() == 1)


@pytest.mark.parametrize("name", RANDOM)
def test_the_network_uses_the_init_and_gain_of_its_config(name):
    """40 matrices of 32 x 32 know their variance to 0.7 %; 4 % is more than five such."""
    network = build(depth=41, width=32, init=name, gain=0.7)
    weights = torch.stack([p.detach() for p in network.parameters() if p.shape == (32, 32)])
    assert float(weights.square().mean()) == pytest.approx(formula_std(name, 32, 32, 0.7) ** 2, rel=0.04)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", INITS)
def test_building_leaves_the_global_random_state_alone(name, norm, untouched_rng):
    build(init=name, norm=norm, bias_std=0.1)


def test_a_seed_decides_the_weights_and_float32_is_float64_rounded():
    first, again, other = (list(build(seed=s).parameters()) for s in (0, 0, 1))
    assert all(torch.equal(p, q) for p, q in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    single = list(build(dtype=torch.float32).parameters())
    assert all(torch.equal(p.float(), q) for p, q in zip(first, single, strict=True))
