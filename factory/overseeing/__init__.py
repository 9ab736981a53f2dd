"""Looking at a whole account: every question at once, and what stays unanswered is named, not fatal."""
