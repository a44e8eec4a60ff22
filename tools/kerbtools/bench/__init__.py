"""`kerb bench`: every figure that the project claims, printed by a command, for people and for machines."""
