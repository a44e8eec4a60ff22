"""`kerb collect`: a technician's round over Bluetooth, and its frames for the gateway."""
