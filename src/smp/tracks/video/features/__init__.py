"""Features that only the video track can have."""
