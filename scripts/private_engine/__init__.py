"""A Docker engine and a registry for this checkout alone, where the machine has none. Standard library only."""
