"""Each vendor's own SDK against our emulator of it: `make test-emulators`."""
