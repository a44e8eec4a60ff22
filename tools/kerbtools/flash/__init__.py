"""`kerb flash`: the firmware onto boards, so that a board boots the old one or the new at any moment (FLASH.md)."""
