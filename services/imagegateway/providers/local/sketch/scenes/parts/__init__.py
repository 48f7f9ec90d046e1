"""What several scenes are made of: sky, ground, water, and the things that a prompt names."""
