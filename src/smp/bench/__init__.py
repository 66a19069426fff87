"""Measurements: `python -m smp.bench --help` lists them."""
