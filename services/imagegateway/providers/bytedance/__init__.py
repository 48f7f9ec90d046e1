"""ByteDance: Seedream and SeedEdit images and Seedance videos, by BytePlus ModelArk."""
