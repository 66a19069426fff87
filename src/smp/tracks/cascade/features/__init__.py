"""Feature families of the cascade track, all from the events before the observation's end."""
