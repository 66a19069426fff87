"""Cache requests: which of the objects seen so far will be requested in the next window?"""
