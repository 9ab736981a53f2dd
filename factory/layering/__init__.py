"""An image's layers seen: by size and step, what is shared, what is too much, what differs since a revision."""
