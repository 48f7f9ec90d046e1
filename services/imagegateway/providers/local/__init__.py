"""The local family: the development model `local/sketch`, which needs no provider."""
