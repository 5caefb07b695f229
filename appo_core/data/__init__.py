"""Data preparation: read, validate, repair, decontaminate and write the chain's datasets."""
