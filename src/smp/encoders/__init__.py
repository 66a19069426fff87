"""Frozen image and text encoders: batches in, embeddings out.

`clip`, `timm_image` and `hf` make Encoders (heavy libraries, so import the one you need); `encode_track` runs them over
every post into the embedding store; `contrastive` trains the small CLIP that stands in where none can be downloaded.
"""

from smp.encoders.base import Encoder, Loading, encode_posts, encode_track
from smp.encoders.inputs import descriptions, picture_paths

__all__ = ["Encoder", "Loading", "descriptions", "encode_posts", "encode_track", "picture_paths"]
