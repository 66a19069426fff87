"""Feature families of the micro-video track, all from what was observed."""
