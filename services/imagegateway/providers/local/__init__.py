"""What runs on this machine alone: the development model `local/sketch`."""
