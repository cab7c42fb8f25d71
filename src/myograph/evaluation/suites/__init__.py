"""Built-in suites, one file each, registered in `SUITES`."""
