"""Hashes of files: what was made from them is made again when they change."""

import hashlib
from pathlib import Path


def source_hash(*files: str | Path) -> str:
    """Short hash of files, code or weights: what they made is made again when they change."""
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        with Path(path).open("rb") as file:
            while block := file.read(2**24):  # weights may be larger than the memory
                digest.update(block)
    return digest.hexdigest()
