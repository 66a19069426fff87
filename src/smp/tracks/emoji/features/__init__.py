"""Feature families of the emoji track: none has seen a label."""
