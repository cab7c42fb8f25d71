"""Guesses a `dataset.toml` from paths, columns and formats of files, and lists the open questions."""
