"""What runs inside every image: weights, then the handler, then RunPod's queue. Imports nothing of `factory`."""
