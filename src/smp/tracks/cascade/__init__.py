"""The cascade track: how many events follow an observed beginning."""
