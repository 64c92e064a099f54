"""The callbacks and loggers with the real libraries."""

import importlib
import json
import re
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradlab import watch
from gradlab.integrations.loggers import MLflow, TensorBoard, WandB

pytestmark = [pytest.mark.filterwarnings("ignore")]  # the libraries warn of one another


@pytest.fixture(scope="module", autouse=True)
def _torchvision_can_be_imported():
    """A torchvision whose kernels do not fit this torch cannot be imported, and these libraries try."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for _ in range(40):
        try:
            importlib.import_module("torchvision")
            break
        except RuntimeError as error:
            [name] = re.findall(r"operator torchvision::(\w+) does not exist", str(error))
            library.define(f"{name}(Tensor any) -> Tensor")
            for module in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
                del sys.modules[module]
        except ImportError:
            break
    yield
    library._destroy()


class Kept:
    def __init__(self):
        self.steps = {}

    def log(self, numbers, step):
        self.steps[step] = numbers

    def close(self):
        self.closed = True


def data(n=48):
    torch.manual_seed(0)
    x = torch.randn(n, 4)
    return torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long())


def test_a_fit_of_lightning_is_recorded(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    from gradlab.integrations.lightning import GradLabCallback

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

        def training_step(self, batch, number):
            x, y = batch
            return F.cross_entropy(self.net(x), y)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    norms = []

    class Oracle(lightning.Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            grads = [p.grad.double() for p in module.parameters()]
            norms.append(float(torch.sqrt(sum((g**2).sum() for g in grads))))

    kept = Kept()
    callback = GradLabCallback(every=2, loggers=[kept], on_error="raise")
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        gradient_clip_val=0.1,
        callbacks=[callback, Oracle()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    module = Module()
    trainer.fit(module, torch.utils.data.DataLoader(data(), batch_size=12))
    history = callback.history
    assert history.column("step").tolist() == [0, 2, 4, 6]
    assert history.layer_names[:2] == ("net.0", "net.2")
    np.testing.assert_allclose(history.column("total_norm"), norms[::2], rtol=1e-9)
    assert (history.column("clipped_total_norm") < 0.1 + 1e-6).all()
    assert np.isfinite(history.of_weights().column("delta_norm")).all()
    assert kept.steps[4]["gradlab/grad_norm/net.2"] == history[2].grad_norm[1]
    assert not torch.nn.modules.module._global_forward_hooks


def test_a_training_of_transformers_is_recorded(tmp_path):
    transformers = pytest.importorskip("transformers")
    from gradlab.integrations.transformers import GradLabCallback

    config = transformers.GPT2Config(vocab_size=11, n_positions=16, n_embd=16, n_layer=2, n_head=2)
    config.bos_token_id = config.eos_token_id = 0
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config)
    tokens = torch.randint(0, 11, (32, 8))
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    callback = GradLabCallback(every=1, on_error="raise")
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=3,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2,
            logging_steps=1,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=rows,
        callbacks=[callback],
    )
    trainer.train()
    history = callback.history
    assert len(history) == 3
    assert history.column("micro_batches").tolist() == [2, 4, 6]
    assert history.column("samples").tolist() == [8, 16, 24]
    theirs = [log["grad_norm"] for log in trainer.state.log_history if "grad_norm" in log]
    np.testing.assert_allclose(history.column("total_norm"), theirs, rtol=1e-5)  # float32 sums of theirs
    assert "transformer.h.1.attn.c_attn" in history.layer_names


def test_a_loop_of_accelerate_is_recorded():
    accelerate = pytest.importorskip("accelerate")

    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    network, optimizer, loader = accelerator.prepare(
        network, torch.optim.SGD(network.parameters(), lr=0.1), torch.utils.data.DataLoader(data(), batch_size=12)
    )
    with watch(network, optimizer, on_error="raise") as history:
        for x, y in loader:
            with accelerator.accumulate(network):
                accelerator.backward(F.cross_entropy(network(x), y))
                optimizer.step()
                optimizer.zero_grad()
    assert len(history) == 2
    assert history.column("samples").tolist() == [24, 48]


def watched(logger):
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with watch(network, optimizer, loggers=[logger], on_error="raise") as history:
        for x, y in torch.utils.data.DataLoader(data(), batch_size=24):
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()
    return history


def test_tensorboard_gets_the_scalars(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = watched(TensorBoard(str(tmp_path)))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    found = [event.value for event in events.Scalars("gradlab/grad_norm/0")]
    assert found == pytest.approx(history.column("grad_norm")[:, 0].tolist(), rel=1e-6)


def test_weights_and_biases_gets_the_scalars_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = wandb.init(mode="offline", dir=str(tmp_path), project="gradlab")
    try:
        history = watched(WandB(run))
        assert run.summary["gradlab/grad_norm/2"] == pytest.approx(history[-1].grad_norm[1], rel=1e-6)
    finally:
        run.finish()


def test_without_a_run_weights_and_biases_is_refused_in_words():
    wandb = pytest.importorskip("wandb")
    assert wandb.run is None
    with pytest.raises(ValueError, match=r"expected a run of wandb"):
        WandB()


def test_mlflow_gets_the_metrics(monkeypatch):
    logged = []
    stand_in = types.ModuleType("mlflow")
    stand_in.log_metrics = lambda metrics, step, run_id: logged.append((step, run_id, metrics))
    monkeypatch.setitem(sys.modules, "mlflow", stand_in)
    history = watched(MLflow("abc"))
    assert [(step, run) for step, run, _ in logged] == [(0, "abc"), (1, "abc")]
    assert logged[1][2]["gradlab/loss"] == history[1].loss
    assert json.dumps(logged[0][2])
