"""RunPod: management over REST v2 or GraphQL, and the job API."""
