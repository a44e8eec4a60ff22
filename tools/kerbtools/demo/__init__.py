"""`kerb demo`: a street in a box. Emulated bins, a gateway process and a council's broker, watched from outside."""
