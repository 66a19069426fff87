"""Feature families of the music track. None sees the label of a track that came out on the same day or later."""
