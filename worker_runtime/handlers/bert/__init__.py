"""BERT-family sentence encoders in numpy alone: tokenizer, weights, model."""
