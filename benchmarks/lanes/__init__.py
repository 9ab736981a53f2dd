"""The lanes beside Docker: one module per row of the table, each with `main(rounds) -> exit status`."""
