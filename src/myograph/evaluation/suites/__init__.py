"""Built-in suites, one file each; `SUITES` names them."""
