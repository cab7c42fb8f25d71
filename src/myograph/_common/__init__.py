"""Shared by all folders: registries, atomic writing of files, lazy imports, compiled loops."""
