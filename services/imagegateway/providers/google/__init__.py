"""Google: the Gemini image models, Imagen, and video by Veo and Omni."""
