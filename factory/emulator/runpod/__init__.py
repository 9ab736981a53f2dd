"""RunPod in a box: one account, several faces, real workers."""
