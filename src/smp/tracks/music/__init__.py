"""The music track: how popular a song is, from its sound, its words, its release and its artist's earlier songs."""
