"""Container images: their files, their locks cut from requirements.lock, and how they are built."""
