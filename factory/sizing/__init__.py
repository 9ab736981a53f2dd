"""The arithmetic of `size`: what an image will weigh, what lies on a volume, what a GPU holds. Pure functions."""
