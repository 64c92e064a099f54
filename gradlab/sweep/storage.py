"""Sweeps as files: one npz, versioned, written whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

VERSION = 1
_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, ValueError, TypeError, AttributeError)


class Stored(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    plan : dict
        What the sweep was asked for: two sweeps with equal plans are the same sweep.
    notes : dict
        `how`, `errors` and `notes` of `Results`.
    values : ndarray
        ``(measures, networks)``.
    done : ndarray of bool
        ``(networks,)``.
    """

    plan: dict[str, Any]
    notes: dict[str, Any]
    values: NDArray[np.float64]
    done: NDArray[np.bool_]


def write(path: str | os.PathLike[str], stored: Stored) -> None:
    """Write a file under a temporary name and move it to `path`, so that `path` is never half a file.

    Raises
    ------
    ValueError
        If `path` is a file that is not this sweep's: another sweep, a truncated one, or no sweep at all.
    """
    path = Path(path)
    if path.exists():
        check_same(path, stored.plan)
    text = json.dumps({"version": VERSION, "plan": stored.plan, "notes": stored.notes})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=np.array(text), values=stored.values, done=stored.done)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read(path: str | os.PathLike[str]) -> Stored:
    """Read what `write` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it is truncated, damaged, no sweep, or of a newer version; it is left as it is.
    """
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            values, done = file["values"], file["done"]
            plan, notes, version = about["plan"], about["notes"], about["version"]
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise ValueError(
            f"path={str(path)!r}: no complete sweep file ({type(error).__name__}: {error}); expected what Sweep.save "
            "wrote; it is left as it is"
        ) from error
    if version > VERSION:
        raise ValueError(f"path={str(path)!r}: sweep file of version {version}; expected at most {VERSION}")
    return Stored(plan, notes, values, done)


def check_same(path: str | os.PathLike[str], plan: Mapping[str, Any]) -> None:
    """Raise ValueError unless the file at `path` was written for this plan."""
    held = read(path).plan
    differing = [name for name, value in plan.items() if held.get(name) != value]
    if differing:
        raise ValueError(
            f"path={str(path)!r} holds another sweep, its {differing[0]} is different; expected a new path, this one "
            "is left as it is"
        )


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


def integers(mapping: Mapping[str, str]) -> dict[int, str]:
    """Return a mapping with its keys as the whole numbers that JSON made text of."""
    return {int(key): value for key, value in mapping.items()}
