"""Compiled layers for a CPU; each returns the same results as PyTorch's layer, up to rounding."""
