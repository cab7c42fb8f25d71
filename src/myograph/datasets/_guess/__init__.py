"""A `dataset.toml` guessed from files: what the paths, the columns and the formats say, and what they leave open."""
