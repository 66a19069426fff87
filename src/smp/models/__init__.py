"""The published networks, a file each."""
