"""The public resource model, one package a version."""
