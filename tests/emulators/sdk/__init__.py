"""Tests of the emulators with each vendor's SDK: `make test-emulators`."""
