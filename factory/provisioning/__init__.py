"""What an account must hold for a recipe, and how it differs from what is there: pure, no network."""
