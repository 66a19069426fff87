"""Features that only the image track can have."""
