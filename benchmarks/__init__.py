"""What must be quick, timed as a person meets it: `make bench`."""
