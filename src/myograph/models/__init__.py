"""The networks: each file here holds one family, and its factories register themselves in `MODELS`.

A factory is called as `factory(n_channels, n_classes, n_samples, **options)` and returns a `torch.nn.Module` that takes
windows (batch, channel, time) in float32 and returns logits (batch, n_classes). It raises `ShapeError` for a window
size that the network cannot take and `ConfigError` for an option that it does not know. The layer that makes the
logits is always named `head`: no other weight depends on the number of classes, so a trained body takes a new head by
copying every weight whose name does not start with "head.".
"""

from __future__ import annotations

from myograph._common.registry import Registry

MODELS = Registry("model", "myograph.models", "MODELS")
