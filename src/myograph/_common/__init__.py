"""What every folder may use: registries, files that are never half written, lazy names, compiled loops."""
