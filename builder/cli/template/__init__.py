"""Go templates, as far as `--format` needs them."""
