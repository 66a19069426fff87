"""The emoji track: what a short post means, or how popular it is, where an emoji may decide."""
