"""Readers of file formats: bytes to arrays, without any knowledge of a data set."""
