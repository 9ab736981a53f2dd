"""A live endpoint mended: rolled back, made anew, guarded, torn down. Each may be killed anywhere and run again."""
