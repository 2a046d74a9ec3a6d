"""A trained run in use: new inputs, and files that run without this package."""
