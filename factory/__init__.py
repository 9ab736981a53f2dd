"""From one YAML recipe to a live, right-sized, verified model endpoint on RunPod Serverless."""

__version__ = "0.1.0"
