"""Optimizers against each other on landscapes of two parameters, each with the learning rate that suits it."""
