"""ByteDance: Seedream and SeedEdit pictures and Seedance videos, by BytePlus ModelArk."""
