"""Small faults planted one by one in a copy of the tree: `python -m tests.mutate [name ...]` lists those unnoticed.

Each fault is one line of code made wrong, and the tests that should notice. A new one is a line in `FAULTS`; its old
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
        " and list(map(_requires_grad, self._params)) == self._free",
        "",
        "test_chain.py::test_a_weight_frozen_between_steps_rests_and_the_others_go_on_as_in_plain_pytorch",
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
        "rules/carry_over.py",
        "    if previous is None:\n        return False\n",
        "    if previous is None:\n        return True\n",
        "test_carry_over.py",
    ),
    Fault(
        "the running sum forgets",
        "rules/carry_over.py",
        "gradient.copy_(total.add_(gradient))",
        "gradient.copy_(total + gradient)",
        "test_carry_over.py",
    ),
    Fault(
        "clipping scales small gradients up",
        "rules/norms.py",
        "    factors = torch.fmin(factors, ones)\n",
        "",
        "test_clipping.py",
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
