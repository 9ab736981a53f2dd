"""Lock files: what a recipe's image was made of, to the last digest."""
