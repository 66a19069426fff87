"""The paper's representation, CLIP_FT: prototypes, prompts, cross-modal projection, training, extraction."""
