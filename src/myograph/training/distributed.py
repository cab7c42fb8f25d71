"""One training spread over several processes, by Hugging Face's Accelerate (`pip install 'myograph[cluster]'`).

Write a script with `NeuralClassifier(distributed=True).fit(windows)` and start it with `accelerate launch script.py`, or
`torchrun --nproc-per-node 2 script.py`: every process reads the same windows, each batch is shared out among them, and
all end with the same weights. Batch norm normalises each process's share separately, dropout differs between them; with
neither, the weights are those of one process but for rounding.
"""

from __future__ import annotations

from typing import Any

from myograph.errors import need


def accelerator(device: str = "auto") -> Any:
    """The `accelerate.Accelerator` of this process; device "cpu" (or no GPU at hand) uses gloo on the CPU.

    Raises
    ------
    MissingExtraError : Accelerate is not installed.
    """
    import torch

    on_cpu = str(device) == "cpu" or not torch.cuda.is_available()
    return need("accelerate", "cluster").Accelerator(cpu=on_cpu, mixed_precision="no")
