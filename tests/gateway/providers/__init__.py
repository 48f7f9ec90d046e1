"""The provider families through the whole stack, against every provider's emulator."""
