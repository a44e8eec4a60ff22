"""`kerb decode`: frames for people, byte by byte, with the key and without."""
