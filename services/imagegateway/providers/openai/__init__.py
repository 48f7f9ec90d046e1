"""OpenAI: the GPT image models, and DALL·E for hosts that still serve it."""
