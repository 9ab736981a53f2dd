"""What lies on a network volume, seen and filled from outside through RunPod's S3 API. docs/volumes.md.

layout      where a worker keeps what, and its READY marker (docs/weights.md is the agreement)
memory      how many bytes may be under way at once
sending     one file in parts, going on where a killed run was
prefill     a recipe's models from the Hub to the volume
verifying   every digest read again
inventory   what is there
failures    why workers could not start
"""
