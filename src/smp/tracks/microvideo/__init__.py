"""Micro-videos: how far will the views of a video, observed for a while, have grown by a later day?"""
