"""Sweeps as files: one npz, versioned, written whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradlab.history import write_whole

VERSION = 1


class Stored(NamedTuple):
    """What a file holds."""

    plan: dict[str, Any]  # what the sweep was asked for: two sweeps with equal plans are the same sweep
    notes: dict[str, Any]  # `how`, `errors` and `notes` of a `Sweep`
    values: NDArray[np.float64]  # ``(measures, networks)``
    done: NDArray[np.bool_]  # ``(networks,)``


def write(path: str | os.PathLike[str], stored: Stored) -> None:
    """Write a file, whole or not at all."""
    text = json.dumps({"version": VERSION, "plan": stored.plan, "notes": stored.notes})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=np.array(text), values=stored.values, done=stored.done)
    write_whole(Path(path), buffer.getbuffer())


def read(path: str | os.PathLike[str]) -> Stored:
    """Read what `write` wrote; raise ValueError if it is truncated, damaged, no sweep, or of a newer version."""
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            stored = Stored(about["plan"], about["notes"], file["values"], file["done"])
            version = int(about["version"])
        if version <= VERSION:
            _check(stored)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged archive raises whatever its damaged bytes lead to
        raise ValueError(
            f"path={str(path)!r}: no complete sweep file ({type(error).__name__}: {error!s:.200}); expected what "
            "Sweep.save wrote; it is left as it is"
        ) from error
    if version > VERSION:
        raise ValueError(f"path={str(path)!r}: sweep file of version {version}; expected at most {VERSION}")
    return stored


def _check(stored: Stored) -> None:
    """Raise ValueError unless the arrays are those of the plan; numbers of another shape must not be broadcast."""
    networks = math.prod(map(len, [stored.plan["seeds"], *stored.plan["over"].values()]))
    expected = {"values": (float, (len(stored.plan["measures"]), networks)), "done": (bool, (networks,))}
    for name, (kind, shape) in expected.items():
        array = getattr(stored, name)
        if array.dtype != kind or array.shape != shape:
            wanted = f"{np.dtype(kind)} {shape}"
            raise ValueError(f"its {name} are {array.dtype} {array.shape}, its plan asks for {wanted}")
    known = {int(number) for number in stored.notes["how"]}
    if known != set(np.flatnonzero(stored.done).tolist()):
        raise ValueError("it does not say of each finished network how it was trained")
    if not {int(n) for n in stored.notes["errors"]} <= known or not isinstance(stored.notes["notes"], list):
        raise ValueError("its notes are about other networks")


def difference(stored: Stored, plan: Mapping[str, Any]) -> str:
    """Return the name of what a file's sweep was asked for otherwise than a plan says; empty if it is the same."""
    return next((name for name, value in plan.items() if stored.plan.get(name) != value), "")


def fingerprint(data: Any) -> str:
    """Return a hash of own data (X, y), empty without any."""
    if data is None:
        return ""
    digest = hashlib.sha256()
    for tensor in data:
        array = np.ascontiguousarray(tensor.numpy())
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
