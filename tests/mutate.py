"""Small faults planted one by one in a copy of the tree: `python -m tests.mutate [name ...]` lists those unnoticed.

Each fault is a line of code made wrong, and the tests that should notice. A new one is a line in `FAULTS`; its old
text must stand exactly once in its file. Those that a person found unnoticed once are marked "was not noticed".
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Fault(NamedTuple):
    """What is planted where, and which tests should fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str


FAULTS = [
    # ------------------------------------------------------------------ engine: the order of things
    Fault(
        "rewind keeps the later knob log (was not noticed)",
        "engine/trainer.py",
        "self._knob_log.until(step)",
        "self._knob_log",
        "test_time_travel.py::test_a_rewind_forgets_the_knobs_moved_after_it",
    ),
    Fault(
        "the fused lane ignores requires_grad (was not noticed)",
        "engine/fused.py",
        " and all(map(_requires_grad, self._params))",
        "",
        "test_chain.py::test_a_weight_frozen_between_steps_rests_and_the_others_go_on_as_in_plain_pytorch",
    ),
    Fault(
        "the fused lane normalises by the batch in evaluation mode",
        "engine/fused.py",
        "if not all(map(_in_training, self._normed)):",
        "if not all(norm.module for norm in self._normed):",
        "test_chain.py::test_batch_norm_in_evaluation_mode_is_trained_on_its_running_statistics",
    ),
    Fault(
        "the fused lane is trusted untried",
        "engine/fused.py",
        "if not self._trusts(samples):",
        "if not self._trusts(samples) and samples < 0:",
        "test_chain.py::test_a_machine_whose_kernels_differ_from_autograd_runs_autograd",
    ),
    Fault(
        "the fused lane runs past a hook",
        "engine/fused.py",
        "if _hooked(self.network):",
        "if not _hooked(self.network):",
        "test_chain.py::test_a_hook_hung_on_a_layer_is_called",
    ),
    Fault(
        "a skipped step keeps what it did",
        "engine/trainer.py",
        "        if not step.applied:\n            self._run.revert(self._journal.state)\n",
        "",
        "test_time_travel.py test_divergence.py",
    ),
    Fault(
        "the mistake of clipping each micro-batch is not made",
        "engine/step.py",
        "            if self._early:  # wrong on purpose: the running sum is clipped again and again\n"
        "                self._clip()\n",
        "",
        "test_clipping.py",
    ),
    Fault(
        "nonfinite=continue stops at a weight that is not finite",
        "engine/step.py",
        "self.applied = overflow is None or not refuses",
        "self.applied = overflow is None",
        "test_divergence.py",
    ),
    Fault(
        "a window may span the end of an epoch",
        "engine/state.py",
        "if start >= epoch.n:",
        "if start > epoch.n:",
        "test_trainer.py::test_the_counters_count_samples_micro_batches_epochs_and_updates test_accumulation.py",
    ),
    Fault(
        "every epoch has the order of the first",
        "engine/sampler.py",
        "return Epoch(self.n, self.number + 1, self._drawn[1])",
        "return Epoch(self.n, self.number + 1, self._generator)",
        "test_trainer.py::test_a_run_is_bit_equal_to_plain_pytorch_for_every_optimizer",
    ),
    Fault(
        "dropout draws the same in every micro-batch of a window",
        "engine/state.py",
        "pass_seed(self.config.batch_seed, self.progress.samples + seen)",
        "pass_seed(self.config.batch_seed, self.progress.samples)",
        "test_own_network.py::test_dropout_draws_anew_in_every_micro_batch_from_the_seeds_that_next_window_tells",
    ),
    Fault(
        "weight decay does not move while training",
        "engine/state.py",
        'group["lr"], group["weight_decay"] = config.lr, config.weight_decay',
        'group["lr"] = config.lr',
        "test_time_travel.py::test_a_live_knob_takes_effect_at_the_next_step_as_in_torch",
    ),
    Fault(
        "another carry-over starts with what the last one kept",
        "engine/state.py",
        "if config.carry_over != self.config.carry_over:",
        "if not config.carry_over:",
        "test_carry_over.py::test_a_carry_over_switched_off_and_on_starts_with_nothing_carried",
    ),
    Fault(
        "a checkpoint shares its weights with the run",
        "engine/state.py",
        "found = self._snapshot(self.parameters.weights.clone(), self.buffers.copy())",
        "found = self._snapshot(self.parameters.weights, self.buffers.copy())",
        "test_time_travel.py::test_rewind_gives_the_state_after_that_many_steps_bit_for_bit",
    ),
    # ------------------------------------------------------------------ engine: a step is a transaction
    Fault(
        "an interrupted step stays in the history",
        "engine/trainer.py",
        "            self.history.restore(history)\n",
        "",
        "test_transaction.py::test_a_step_interrupted_at_any_line_is_taken_or_not",
    ),
    Fault(
        "the optimizer keeps what an interrupted step told it",
        "engine/state.py",
        "        made.state.update(_copied(known.memory))\n",
        "",
        "test_transaction.py::test_a_step_interrupted_at_any_line_is_taken_or_not",
    ),
    Fault(
        "the weights of an interrupted step stay",
        "engine/state.py",
        "        self.parameters.weights.copy_(snapshot.weights)\n",
        "",
        "test_transaction.py::test_a_step_interrupted_at_any_line_is_taken_or_not",
    ),
    Fault(
        "a moved knob is committed before it is logged",
        "engine/trainer.py",
        "                self._run.configure(new)\n",
        "                self._journal = None\n                self._run.configure(new)\n",
        "test_transaction.py::test_whatever_changes_a_run_is_done_wholly_or_not_at_all",
    ),
    Fault(
        "evaluate hands the network the data itself",
        "engine/trainer.py",
        "self.network(x.clone())",
        "self.network(x)",
        "test_own_network.py::test_a_network_that_changes_its_input_in_place_trains_on_the_data_as_given",
    ),
    Fault(
        "a network that counts its passes is promised a replay",
        "engine/trainer.py",
        "if start.step < step < self.step_count and not self._run.replays:",
        "if start.step < step < self.step_count and self._run.replays is None:",
        "test_own_network.py::test_rewind_says_in_words_that_a_network_cannot_be_replayed",
    ),
    # ------------------------------------------------------------------ rules
    Fault(
        "the mean forgets that micro-batches differ in size",
        "rules/accumulation.py",
        "[n / sum(sizes) for n in sizes]",
        "[1 / len(sizes) for n in sizes]",
        "test_accumulation.py",
    ),
    Fault(
        "accumulation ignores the weights after the first micro-batch",
        "engine/parameters.py",
        "torch._foreach_add_(views, found, alpha=weight)",
        "torch._foreach_add_(views, found)",
        "test_accumulation.py",
    ),
    Fault(
        "the delayed gradient updates at the first step",
        "rules/accumulation.py",
        "    if previous is None:\n        return False\n",
        "    if previous is None:\n        return True\n",
        "test_carry_over.py",
    ),
    Fault(
        "the running sum forgets",
        "rules/accumulation.py",
        "gradient.copy_(total.add_(gradient))",
        "gradient.copy_(total + gradient)",
        "test_carry_over.py",
    ),
    Fault(
        "clipping scales small gradients up",
        "rules/norms.py",
        "            if factor < 1:\n                grad.mul_(factor)\n",
        "            grad.mul_(factor)\n",
        "test_clipping.py",
    ),
    Fault(
        "clipping scales a stack's small gradients up",
        "rules/norms.py",
        "torch.fmin(threshold / (sizes + EPS), ones)",
        "threshold / (sizes + EPS)",
        "test_sweep_stacked.py::test_a_stacked_network_is_its_own_trainers_run_for_every_clip",
    ),
    Fault(
        "adaptive clipping starts at another weight norm",
        "rules/clipping.py",
        "clamp(min=1e-3)",
        "clamp(min=1e-2)",
        "test_clipping.py oracles/test_timm.py",
    ),
    Fault(
        "float64 norms vanish where the squares do",
        "rules/norms.py",
        "return value if _SAFE_LOW < value < _SAFE_HIGH else",
        "return value if 0.0 <= value < _SAFE_HIGH else",
        "test_divergence.py::test_a_float64_gradient_whose_squares_vanish_has_a_norm",
    ),
    # ------------------------------------------------------------------ half precision
    Fault(
        "the loss scale is not divided out",
        "engine/parameters.py",
        "        torch._foreach_mul_(views, inverse)\n",
        "",
        "test_precision.py::test_a_loss_scale_moves_no_gradient_that_is_recorded",
    ),
    Fault(
        "the backward signal keeps the loss scale",
        "engine/step.py",
        "self._stats.see_deltas(deltas, rows.shape[0] * inverse)",
        "self._stats.see_deltas(deltas, rows.shape[0])",
        "test_precision.py::test_a_loss_scale_moves_no_gradient_that_is_recorded",
    ),
    Fault(
        "the loss is not scaled",
        "engine/autograd.py",
        "scaled = None if scale == 1.0 else",
        "scaled = None if scale >= 0.0 else",
        "test_precision.py::test_a_half_run_has_the_bits_of_a_plain_loop_with_master_weights",
    ),
    Fault(
        "an overflow does not halve a dynamic scale",
        "engine/step.py",
        "scaling = scaling.after(self.overflowed) if scaling.dynamic else scaling",
        "scaling = scaling.after(False) if scaling.dynamic else scaling",
        "test_precision.py::test_a_dynamic_scale_moves_and_skips_as_torchs_scaler_does",
    ),
    Fault(
        "an overflow leaves the count of good steps",
        "engine/precision.py",
        "scale=float(np.float32(self.scale / 2)), good=0",
        "scale=float(np.float32(self.scale / 2))",
        "test_precision.py::test_two_thousand_good_steps_double_a_dynamic_scale_as_torchs_scaler_does",
    ),
    Fault(
        "a dynamic scale doubles a step late",
        "engine/precision.py",
        "if self.good + 1 < _INTERVAL:",
        "if self.good < _INTERVAL:",
        "test_precision.py::test_two_thousand_good_steps_double_a_dynamic_scale_as_torchs_scaler_does",
    ),
    Fault(
        "an overflow is applied",
        "engine/step.py",
        "if self.trouble and (refuses or self.overflowed):",
        "if self.trouble and refuses:",
        "test_precision.py::test_an_overflow_is_skipped_whatever_a_clip_makes_of_it",
    ),
    Fault(
        "the narrow copy keeps its first weights",
        "engine/precision.py",
        "        torch._foreach_copy_([mine.detach() for _, mine in self._pairs], "
        "[its.detach() for its, _ in self._pairs])\n",
        "",
        "test_precision.py::test_a_half_run_has_the_bits_of_a_plain_loop_with_master_weights",
    ),
    Fault(
        "the loss is computed in half precision",
        "engine/precision.py",
        "loss(widened(output), y))",
        "loss(output, y).float())",
        "test_precision.py::test_a_half_run_has_the_bits_of_a_plain_loop_with_master_weights",
    ),
    Fault(
        "batch norm's statistics do not reach the master",
        "engine/step.py",
        "            half.hand_back()\n",
        "            pass\n",
        "test_precision.py::test_batch_norm_keeps_its_statistics_in_float32_and_they_rewind",
    ),
    Fault(
        "shares count the entries of the whole network",
        "engine/parameters.py",
        "self._totals = [sum(map(len, own)) or math.nan for own in self._pieces]",
        "self._totals = [len(flat) for own in self._pieces]",
        "test_precision.py::test_shares_are_those_that_can_be_counted_by_hand",
    ),
    Fault(
        "zeros count as subnormal",
        "engine/parameters.py",
        "[below - own for below, own in zip(self._of_mask(), zero, strict=True)]",
        "self._of_mask()",
        "test_precision.py::test_shares_are_those_that_can_be_counted_by_hand",
    ),
    Fault(
        "zeros in the gaps between parameters hide the same number of zeros",
        "engine/parameters.py",
        "if np.count_nonzero(mask) > self._gaps:",
        "if np.count_nonzero(mask) > 2 * self._gaps:",
        "test_precision.py::test_shares_are_those_that_can_be_counted_by_hand",
    ),
    Fault(
        "what overflows in half precision is counted after the scale is gone",
        "engine/parameters.py",
        "        shares = self._shares(self.gradient if room is self.gradients else self._fresh_flat, normal)\n"
        "        torch._foreach_mul_(views, inverse)\n",
        "        torch._foreach_mul_(views, inverse)\n"
        "        shares = self._shares(self.gradient if room is self.gradients else self._fresh_flat, normal)\n",
        "test_precision.py",
    ),
    # ------------------------------------------------------------------ time
    Fault(
        "the signal through time of an LSTM forgets what came back through c",
        "engine/time.py",
        "            torch.mul(of_h, keeps[t], out=found_c[t - 1])\n",
        "",
        "test_time.py::test_the_graph_and_the_recursion_are_the_unrolled_gradient",
    ),
    Fault(
        "the recursion takes the slope of the step before",
        "engine/time.py",
        "torch.mul(found[t + 1], slopes[t + 1], out=inside)",
        "torch.mul(found[t + 1], slopes[t], out=inside)",
        "test_time.py::test_the_spectrum_is_that_of_the_jacobian_autograd_finds",
    ),
    Fault(
        "the norm of a time step stands one step off",
        "engine/time.py",
        "row[: len(norms)] = norms.cpu().numpy() / math.sqrt(samples)",
        "row[: len(norms)] = norms.cpu().numpy().take(range(1, len(norms) + 1), mode='wrap') / math.sqrt(samples)",
        "test_time.py::test_the_column_is_the_root_mean_square_over_all_samples_of_a_step",
    ),
    Fault(
        "the norm of a time step is a mean over the micro-batch alone",
        "engine/time.py",
        "rows.append(samples * total)",
        "rows.append(total)",
        "test_time.py::test_the_column_is_the_root_mean_square_over_all_samples_of_a_step",
    ),
    Fault(
        "the signal through time keeps the loss scale",
        "engine/step.py",
        "self._through_time.append([norm * inverse for norm in rows_of_time])",
        "self._through_time.append(rows_of_time)",
        "test_precision.py::test_a_loss_scale_moves_no_gradient_that_is_recorded",
    ),
    Fault(
        "a large LSTM is measured at other steps than the mark says",
        "engine/autograd.py",
        "(self._time.costly and step % SELDOM)",
        "(self._time.costly and (step + 1) % SELDOM)",
        "test_time.py::test_a_large_lstm_is_measured_at_every_fourth_step_and_stands_in_words_between",
    ),
    Fault(
        "a warm-up begins with nothing",
        "engine/state.py",
        "lr * min(1.0, (step + 1) / warmup)",
        "lr * min(1.0, step / warmup)",
        "test_time.py::test_the_learning_rate_that_is_recorded_is_the_warmed_one",
    ),
    # ------------------------------------------------------------------ what a network hands on
    Fault(
        "a copy of a network runs the layers of the one it was copied from",
        "engine/layers.py",
        "type(own).forward(own, *args, **kwargs)",
        "type(own).forward(module, *args, **kwargs)",
        "test_layers.py::test_a_copy_made_while_forwards_are_replaced_runs_its_own_layers_unseen",
    ),
    Fault(
        "a replaced forward stays",
        "engine/layers.py",
        'if own.get("forward") is new:',
        'if own.get("forward") is None:',
        "test_layers.py::test_replaced_forwards_see_what_hooks_see_and_leave_nothing_behind",
    ),
    Fault(
        "batch norm's statistics of an interrupted step stay",
        "engine/state.py",
        "            room.copy_(whole)\n",
        "            pass\n",
        "test_transaction.py::test_a_step_interrupted_at_any_line_is_taken_or_not",
    ),
    # ------------------------------------------------------------------ theory
    Fault(
        "an orthogonal weight's variance counts fan_in (was not noticed)",
        "theory/signal.py",
        "gain**2 / max(fan_in, fan_out)",
        "gain**2 / fan_in",
        "test_theory.py::test_the_variance_of_an_orthogonal_weight_counts_the_longer_side_of_its_matrix",
    ),
    Fault(
        "Xavier counts fan_in alone",
        "theory/signal.py",
        '"xavier": lambda gain, fan_in, fan_out: 2 * gain**2 / (fan_in + fan_out)',
        '"xavier": lambda gain, fan_in, fan_out: gain**2 / fan_in',
        "test_theory_profile.py test_theory.py",
    ),
    # ------------------------------------------------------------------ history
    Fault(
        "a rewind keeps the divergence of the step it goes back to",
        "history.py",
        "self.diverged.step >= step",
        "self.diverged.step > step",
        "test_time_travel.py::test_rewind_after_a_divergence_gives_the_last_finite_state",
    ),
    Fault(
        "thinning drops the newest steps",
        "history.py",
        "np.arange(newest, self._n)",
        "np.arange(newest, self._n - 1)",
        "test_history.py",
    ),
]


def misplaced():
    """Return the faults whose old text does not stand exactly once in its file."""
    return [f.name for f in FAULTS if (ROOT / "gradlab" / f.file).read_text().count(f.old) != 1]


def copy_tree(folder):
    """Copy what the tests need."""
    leave_out = shutil.ignore_patterns("__pycache__", "node_modules", "*.json")
    for name in ("gradlab", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=None if name == "gradlab" else leave_out)
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, folder / name)
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)


def noticed(fault, folder):
    """Plant a fault, run its tests in a process forked from this one, which has torch loaded, and take it back."""
    path = folder / "gradlab" / fault.file
    text = path.read_text()
    path.write_text(text.replace(fault.old, fault.new))
    child = os.fork()
    if not child:
        run_tests(fault, folder)
    _, status = os.waitpid(child, 0)
    path.write_text(text)
    return os.waitstatus_to_exitcode(status) == 1  # pytest's code for tests that failed


def run_tests(fault, folder):
    """Run the tests of a fault and end the process."""
    code = 70
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        os.chdir(folder)
        os.environ["PYTHONPATH"] = str(folder)
        sys.path.insert(0, str(folder))
        import pytest

        tests = [f"tests/{test}" for test in fault.tests.split()]
        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]))
    finally:
        os._exit(code)


def survivors(faults):
    """Return the names of the faults that no test notices, saying how long each took."""
    import numpy
    import torch
    import torch._dynamo  # what the first optimizer loads

    assert numpy.__version__
    torch.set_num_threads(1)
    sys.dont_write_bytecode = True  # two versions of a file may have one size and one second
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        copy_tree(Path(folder))
        for fault in faults:
            start = time.monotonic()
            seen = noticed(fault, Path(folder))
            print(f"{'noticed' if seen else 'SURVIVES'}  {time.monotonic() - start:5.1f} s  {fault.name}", flush=True)
            found += [] if seen else [fault.name]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="parts of names")
    only = parser.parse_args().only
    if misplaced():
        sys.exit(f"no longer in the code as the table has it: {'; '.join(misplaced())}")
    alive = survivors([f for f in FAULTS if not only or any(part in f.name for part in only)])
    sys.exit(f"{len(alive)} survive: {'; '.join(alive)}" if alive else 0)


if __name__ == "__main__":
    main()
