"""Feature families of the requests track, all from windows that are over."""
