"""The page that shows what was trained, and trains the student once more in the browser."""
