"""Compiled layers for a CPU; each answers as PyTorch's own layer does, within rounding."""
