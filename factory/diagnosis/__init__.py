"""Why an endpoint doesn't answer: one rule per file, evidence in, findings out. Pure functions."""
