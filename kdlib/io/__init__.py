"""Files: errors, canonical archives, atomic writes and locks, arrays larger than memory."""
