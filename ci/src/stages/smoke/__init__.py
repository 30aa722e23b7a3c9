"""The stage that asks an image what users ask, and writes down what it answered."""
