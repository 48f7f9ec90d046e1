"""Parts that several scenes share: sky, ground, water, and the things that a prompt names."""
