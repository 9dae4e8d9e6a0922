"""The commands of `nines`; one thin file each."""
