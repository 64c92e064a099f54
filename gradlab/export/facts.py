"""What a script must know that a `Config` does not say outright: sizes, types and what the modules are made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradlab.config import Config
from gradlab.data import DATASETS, Data
from gradlab.engine import check
from gradlab.export.sources import Sources
from gradlab.locale import Said
from gradlab.network import ACTIVATIONS, NORMS
from gradlab.registry import Entry


@dataclass(frozen=True, eq=False)
class Facts:
    """A config with what its data set and its modules turn out to be."""

    config: Config
    data: Data  # what the network is trained on
    raw: tuple[object, object]  # what the data set's function returned
    # a norm and an activation of this network
    norm: nn.Module
    phi: nn.Module
    draws: bool  # whether making them takes random numbers

    @property
    def inputs(self) -> int:
        """Columns of X, flattened."""
        return self.data.x[0].numel()

    @property
    def loss(self) -> str:
        """The loss function, as the script calls it."""
        return "F.cross_entropy" if self.data.loss is F.cross_entropy else "F.mse_loss"

    @property
    def micro(self) -> bool:
        """Whether a step is made of several micro-batches."""
        return self.config.accumulation != "none"

    @property
    def scaled(self) -> bool:
        """Whether the backward pass is that of a scaled loss, or of a copy in half precision."""
        return self.config.half_dtype is not None or self.config.loss_scale != 1.0

    @property
    def early(self) -> bool:
        """Whether the running gradient is clipped after each micro-batch."""
        return self.micro and self.config.clip != "none" and self.config.clip_order == "each_micro_batch"

    @property
    def buffers(self) -> bool:
        """Whether the network holds tensors that a forward pass changes."""
        return any(True for module in (self.norm, self.phi) for _ in module.buffers())

    @property
    def phi_is_shared(self) -> bool:
        """Whether one activation module can serve every layer: one of torch's, without state."""
        known = type(self.phi).__module__.startswith("torch.nn.")
        return known and not self.draws and not list(self.phi.parameters()) and not list(self.phi.buffers())


def find_facts(config: Config) -> Facts:
    """Make the data set and one module of each kind of a config; one that cannot be trained is refused as usual."""
    data = check.prepare_data(config, None, None)
    kept_out = config.holdout and DATASETS[config.dataset].options.get("fixed")
    kept = config.norm == "batch" and config.half_dtype is not None  # float32 in a half network
    if config.architecture != "mlp" or data.every_step or config.warmup or kept_out or kept:
        raise ValueError(Said("error.no_script"))
    check.check_inputs(data)
    check.check_micro_batches(config, data.n)
    generator = torch.Generator().manual_seed(config.data_seed)
    sizes = (config.sequence_length,) if DATASETS[config.dataset].options.get("sequence") else ()
    raw = DATASETS[config.dataset](config.n_samples, config.noise, generator, *sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.weight_seed)
        before = torch.get_rng_state()
        norm, phi = NORMS[config.norm](config.width), ACTIVATIONS[config.activation]()
        draws = not torch.equal(before, torch.get_rng_state())
    return Facts(config, data, raw, norm, phi, draws)


def entry_call(sources: Sources, config: Config, field: str, *arguments: str) -> str:
    """Return an expression that calls the entry which a field of the config names."""
    entry = Config.knobs()[field].choices[getattr(config, field)]  # pyright: ignore[reportOptionalSubscript]
    assert isinstance(entry, Entry)
    return sources.call(entry.function, arguments, f"{field}={entry.name!r}")


def conversions(name: str, raw: object, prepared: Tensor) -> str:
    """Return the expression that makes of `name`, what a data set returned, what is trained on."""
    text = name
    if not isinstance(raw, Tensor):
        raw, text = torch.as_tensor(raw), f"torch.as_tensor({name})"
    text += "" if raw.dtype == prepared.dtype else f".to({prepared.dtype})"
    return text if raw.shape == prepared.shape else text + ".reshape(-1, 1)"
