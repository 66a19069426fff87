"""New posts: what the kept models say of them, how far that may be off, and why. `python -m smp.predict --help`."""
