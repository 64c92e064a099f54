"""Whether the notebooks find the same on another processor: `python -m tests.portable [NOTEBOOK ...]`.

Each notebook is run with PyTorch held to another instruction set, and every value that is not the committed one is
printed. What differs there would differ on somebody's machine, and nbval would call it an error.
"""

import argparse
import os
import sys

import nbformat

from tests.minutes import NOTEBOOKS, run

UNDER = {
    "SSE": {
        "ATEN_CPU_CAPABILITY": "default",
        "DNNL_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "DNNL_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "MKL's portable path": {"MKL_CBWR": "COMPATIBLE"},
    "oneDNN off": {},
}
FIRST = {"oneDNN off": "import torch; torch.backends.mkldnn.set_flags(False)"}  # for which there is no variable


def values(notebook):
    """Return what each code cell shows as text."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [[output.get("data", {}).get("text/plain", str(output)) for output in cell.outputs] for cell in code]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[""], metavar="NOTEBOOK", help="the beginning of its name: 07")
    parser.add_argument("--under", nargs="+", choices=UNDER, default=list(UNDER), metavar="NAME")
    options = parser.parse_args(arguments)
    different = 0
    for under in options.under:
        os.environ.update(UNDER[under])  # the kernels inherit it
        for path in sorted(p for name in options.names for p in NOTEBOOKS.glob(f"{name}*.ipynb")):
            committed, found = values(nbformat.read(path, as_version=4)), values(run(path, FIRST.get(under)))
            changed = [(a, b) for a, b in zip(committed, found, strict=True) if a != b]
            print(f"{under}: {path.stem}: {len(changed)} of {len(found)} cells differ", flush=True)
            for before, after in changed:
                print(f"  committed: {before}\n  here:      {after}")
            different += len(changed)
        for name in UNDER[under]:
            del os.environ[name]
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
