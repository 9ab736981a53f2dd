"""What there is to see of an account: nouns and arithmetic. Pure; `factory.overseeing` does the asking."""
