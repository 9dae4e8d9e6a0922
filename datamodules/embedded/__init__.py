"""Data that ships with the package, so that the defaults run from any folder. See README.md here."""
