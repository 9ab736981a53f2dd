"""Who fills the doors of `ports`: one library, one file."""

import logging

# stamina logs every retry as a warning, which Python prints to stderr, amid our own words, where nobody set up logging.
logging.getLogger("stamina").addHandler(logging.NullHandler())
