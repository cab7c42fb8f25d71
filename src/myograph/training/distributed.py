"""Training over several processes with Hugging Face's Accelerate (`pip install 'myograph[cluster]'`).

Write a script with `NeuralClassifier(distributed=True).fit(windows)` and start it with `accelerate launch script.py`,
or `torchrun --nproc-per-node 2 script.py`. Every process reads the same windows, each batch is divided among the
processes, and all end with the same weights. Batch norm normalises the part of each process separately, and dropout
differs between processes. Without these layers, the weights equal those of a single process up to rounding.
"""

from __future__ import annotations

from typing import Any

from myograph.errors import need


def accelerator(device: str = "auto") -> Any:
    """Return the `accelerate.Accelerator` of this process; device "cpu" (or a machine without a GPU) uses gloo on the
    CPU.

    Raises
    ------
    MissingExtraError : Accelerate is not installed.
    """
    import torch

    on_cpu = str(device) == "cpu" or not torch.cuda.is_available()
    return need("accelerate", "cluster").Accelerator(cpu=on_cpu, mixed_precision="no")
