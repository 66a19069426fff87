"""Utilities shared by the experiments of an SMP Challenge solution."""
